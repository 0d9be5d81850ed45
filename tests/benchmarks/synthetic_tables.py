"""Synthetic tables and a tokenizer for bench_tables.py, of the size and the statistics of real ones.

Token ids are drawn from a Zipf-like distribution over 151,936 (uniform ids would not compress like text), log-probs
from a log-normal one; text consists of lines of made-up words.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from vr.method import likelihood
from vr.renderers import markers
from vr.tables import parquet, schemas

VOCABULARY = 151936
TRACE_TOKENS = (1000, 10001)
"""Lengths of traces are uniform from the first number to below the second."""
ANSWER_TOKENS, QUESTION_TOKENS = 400, 60
WORDS = 20000
_LINE_WORDS = 15
_BATCH = 1000  # questions


class Draws:
    """Synthetic content out of pools that are far larger than what a Parquet page holds."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        rank = np.arange(VOCABULARY) + 2.7
        cumulative = np.cumsum(1 / rank)
        drawn = np.searchsorted(cumulative, self.rng.random(1 << 24) * cumulative[-1])
        self.ids = self.rng.permutation(VOCABULARY).astype(np.int32)[drawn]
        self.logps = -np.exp(self.rng.normal(-3, 2.5, 1 << 24)).clip(1e-7, 20).astype(np.float32)
        letters = np.array(list("etaoinshrdlucmfw"))
        self.words = sorted({"".join(self.rng.choice(letters, 3 + n % 6)) for n in range(WORDS)})
        which = np.searchsorted(
            cumulative[: len(self.words)], self.rng.random(1 << 22) * cumulative[len(self.words) - 1]
        )
        lines = (which[start : start + _LINE_WORDS] for start in range(0, len(which), _LINE_WORDS))
        self.text = "\n".join(" ".join(self.words[n] for n in line) for line in lines)
        self.word_chars = (len(self.text) + 1) / len(which)

    def lengths(self, n: int) -> np.ndarray:
        return self.rng.integers(*TRACE_TOKENS, n, dtype=np.int32)

    def lists(self, pool: np.ndarray, lengths: np.ndarray) -> pl.Series:
        starts = self.rng.integers(0, len(pool) - TRACE_TOKENS[1], len(lengths))
        flat = np.concatenate([pool[a : a + n] for a, n in zip(starts, lengths, strict=True)])
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, flat)))

    def texts(self, n_words: np.ndarray) -> list[str]:
        n_chars = (n_words * self.word_chars).astype(int)
        starts = self.rng.integers(0, len(self.text) - n_chars.max(), len(n_chars))
        return [self.text[a : a + n] for a, n in zip(starts, n_chars, strict=True)]


def names(n: int) -> list[str]:
    """The keys of n questions."""
    return [f"question-{number:05d}" for number in range(n)]


def write_run(folder: Path, draws: Draws, n_questions: int, seeds: Sequence[int], *, listed: bool = False) -> None:
    """Tables of a run: problems, and of each seed traces, logps of both models and likelihood.

    listed: with the log-prob of every trace token.
    """
    folder.mkdir()
    ids = names(n_questions)
    parquet.write_batches(problems(ids, draws), folder / "problems.parquet", schemas.Problems)
    for seed in seeds:
        lengths = draws.lengths(n_questions)
        name = f"seed={seed}.parquet"
        parquet.write_batches(traces(ids, seed, lengths, draws), folder / "traces" / name, schemas.Traces)
        for model in ("initial", "posterior"):
            frame = logps(ids, repeat(seed, n_questions), lengths, draws, listed=listed)
            parquet.write(frame, folder / f"logps_{model}" / name, schemas.Logps)
            if model == "initial":
                terms = likelihood.reference_likelihood(frame, "gml")
                parquet.write(terms, folder / "likelihood" / name, schemas.Likelihood)


NO_VALUES = ("system", "reference", "tests", "source_row", "match_method")


def problems(ids: list[str], draws: Draws) -> Iterator[pl.DataFrame]:
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        thoughts = draws.texts(draws.lengths(len(part)))
        answers = draws.texts(np.full(len(part), ANSWER_TOKENS))
        yield pl.DataFrame(
            {
                "problem_id": part,
                "question": draws.texts(np.full(len(part), QUESTION_TOKENS)),
                "solution": list(map(markers.join_response, thoughts, answers)),
            }
        ).with_columns(
            source=pl.lit("synthetic"),
            verifier=pl.lit("none"),
            self_check=pl.lit("not_run"),
            **{name: pl.lit(None, dtype=pl.String) for name in NO_VALUES},
        )


def traces(ids: list[str], seed: int, lengths: np.ndarray, draws: Draws) -> Iterator[pl.DataFrame]:
    for start in range(0, len(ids), _BATCH):
        part = slice(start, start + _BATCH)
        yield pl.DataFrame(
            {
                "problem_id": ids[part],
                "trace_ids": draws.lists(draws.ids, lengths[part]),
                "trace_tokens": lengths[part],
                "text": draws.texts(lengths[part]),
            }
        ).with_columns(
            seed=pl.lit(seed),
            thought_tokens=pl.col("trace_tokens") - 1,
            finish=pl.lit("marker"),
            trace_logps=pl.lit(None, dtype=pl.List(pl.Float32)),
        )


def logps(ids: list[str], seeds: Iterable[int], lengths: np.ndarray, draws: Draws, *, listed: bool) -> pl.DataFrame:
    """schemas.Logps; with lists their sums are the lists' own."""
    frame = pl.DataFrame({"problem_id": ids, "seed": list(seeds), "trace_tokens": lengths}).with_columns(
        trace_logp_sum=pl.Series(-0.5 * lengths * draws.rng.random(len(ids))),
        answer_logp_sum=pl.Series(-200 * draws.rng.random(len(ids))),
        answer_tokens=pl.lit(ANSWER_TOKENS, dtype=pl.Int32),
        trace_logps=pl.lit(None, dtype=pl.List(pl.Float32)),
    )
    if not listed:
        return frame
    total = pl.col("trace_logps").list.agg(pl.element().cast(pl.Float64).sum())
    return frame.with_columns(trace_logps=draws.lists(draws.logps, lengths)).with_columns(trace_logp_sum=total)


def write_base(folder: Path, words: list[str]) -> None:
    """A model directory with all that the renderer reads of it: a tokenizer of one token a word, and no weights."""
    from safetensors.numpy import save_file
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = [markers.TEXT_END, *markers.MARKERS, markers.TURN_BEGIN, markers.TURN_END]
    vocabulary = {word: n for n, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=markers.TEXT_END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=markers.TEXT_END, pad_token=markers.TEXT_END, eos_token=markers.TURN_END
    )
    fast.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    save_file({}, folder / "model.safetensors")
