"""Time, memory and bytes of the tables at the paper's size: `python -m tests.benchmarks.bench_tables`.

16,710 questions with K = 8 traces of 5,500 tokens on average, all synthetic: token ids drawn from a Zipf-like
distribution over 151,936 (uniform ids would not compress like text), log-probs from a log-normal one, text of made-up
words. The data set's own solutions go through a word-level tokenizer, which is quicker than Qwen's.
Each measurement is a fresh process that makes the library's calls of one stage, files read and written: seconds of wall
and processor time, and the highest resident memory (VmHWM) above that before it began. VmHWM counts mapped files, such
as the saved training set, though the system may take them back at any time. Weights from lists are compared with a
row-by-row reference in the manner of the official scripts, on the same rows.
Prints a table and writes JSON. Nothing here is asserted. Takes about 6 minutes and 10 GB of temporary files.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from tests.benchmarks.measuring import ROOT, command_line, memory_bytes, write_json
from vr.engines.training import training_set
from vr.method import likelihood, seed_tables, selection, weights
from vr.renderers import markers, training_rows
from vr.renderers.renderer import Renderer, Wording
from vr.renderers.tokenizer import load_tokenizer
from vr.settings import params
from vr.tables import parquet, schemas

N_QUESTIONS, N_TRACES, VOCABULARY = 16710, 8, 151936
SEEDS = range(N_TRACES)
N_LISTED = (500, 3000, 6000)
"""Questions whose traces have per-token lists: the first number is timed against the reference, all are measured."""
TRACE_TOKENS = (1000, 10001)
WORDS = 20000
SUMS, ANSWER_SUMS = ("trace_logp_sum", "trace_tokens"), ("answer_logp_sum", "answer_tokens")
MIB = 2**20


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
        self.text = " ".join(self.words[n] for n in which)
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


def write_run(folder: Path, draws: Draws, n_questions: int, *, listed: bool = False) -> None:
    """Tables of a run: problems, and of each seed traces, logps of both models and likelihood.

    listed: with the log-prob of every trace token.
    """
    folder.mkdir()
    ids = names(n_questions)
    parquet.write_batches(problems(ids, draws), folder / "problems.parquet", schemas.Problems)
    for seed in SEEDS:
        lengths = draws.lengths(n_questions)
        name = f"seed={seed}.parquet"
        parquet.write_batches(traces(ids, seed, lengths, draws), folder / "traces" / name, schemas.Traces)
        for model in ("initial", "posterior"):
            frame = logps(ids, repeat(seed, n_questions), lengths, draws, listed=listed)
            parquet.write(frame, folder / f"logps_{model}" / name, schemas.Logps)
            if model == "initial":
                terms = likelihood.reference_likelihood(frame, "gml")
                parquet.write(terms, folder / "likelihood" / name, schemas.Likelihood)


def problems(ids: list[str], draws: Draws) -> Iterator[pl.DataFrame]:
    for start in range(0, len(ids), 1000):
        part = ids[start : start + 1000]
        thoughts = draws.texts(draws.lengths(len(part)))
        answers = draws.texts(np.full(len(part), 400))
        yield pl.DataFrame(
            {
                "problem_id": part,
                "question": draws.texts(np.full(len(part), 60)),
                "solution": list(map(markers.join_response, thoughts, answers)),
            }
        ).with_columns(
            source=pl.lit("synthetic"),
            verifier=pl.lit("none"),
            **{name: pl.lit(None, dtype=pl.String) for name in ("system", "reference", "tests")},
        )


def traces(ids: list[str], seed: int, lengths: np.ndarray, draws: Draws) -> Iterator[pl.DataFrame]:
    for start in range(0, len(ids), 1000):
        part = slice(start, start + 1000)
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
        answer_tokens=pl.lit(400, dtype=pl.Int32),
        trace_logps=pl.lit(None, dtype=pl.List(pl.Float32)),
    )
    if not listed:
        return frame
    total = pl.col("trace_logps").list.agg(pl.element().cast(pl.Float64).sum())
    return frame.with_columns(trace_logps=draws.lists(draws.logps, lengths)).with_columns(trace_logp_sum=total)


def write_base(folder: Path, words: list[str]) -> None:
    """A model directory with all that the renderer reads of it: a tokenizer of one token a word."""
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


def settings(section: type[params.Params], **changes: Any) -> Any:
    """A section of the miniature's params, changed."""
    document = YAML(typ="safe", pure=True).load((ROOT / "vr" / "recipes" / "miniature.yaml").read_text())
    document |= {"estimator": "gml", "K": N_TRACES, "seeds": list(SEEDS)}
    document[section.section] |= changes
    return section.read(document)


def renderer(folder: Path) -> Renderer:
    """The renderer of a run's tokenizer."""
    system = "You think before you answer."
    wording = Wording(
        reasoner=system, posterior=system, untrained=system, hint="solution", template="B", proposal="posterior"
    )
    return Renderer(load_tokenizer(folder.parent / "base"), wording)


def weigh_all(folder: Path, *, token_logps: bool) -> dict[str, Any]:
    """The weights of all traces, several times."""
    options = settings(params.Weigh, max_trace_tokens=28000, token_logps=token_logps)

    def weigh() -> None:
        frame = weights.weigh(
            parquet.read(folder / "problems.parquet", schemas.Problems, ("problem_id", "source")),
            seed_tables.read(folder / "traces", schemas.Traces, SEEDS, ("trace_tokens", "finish")),
            seed_tables.read_logps(folder / "logps_initial", SEEDS, (*SUMS, *ANSWER_SUMS), token_logps=token_logps),
            seed_tables.read_logps(folder / "logps_posterior", SEEDS, SUMS, token_logps=token_logps),
            seed_tables.read(folder / "likelihood", schemas.Likelihood, SEEDS, ("log_likelihood", "reason")),
            options,
        )
        parquet.write(frame, folder / "weights.parquet", schemas.Weights)

    runs = [seconds(weigh) for _ in range(5)]
    return {"wall_s": statistics.median(run[0] for run in runs), "cpu_s": statistics.median(run[1] for run in runs)}


def weigh_row_by_row(folder: Path) -> dict[str, Any]:
    """The same weights in the manner of the official scripts: data sets of each seed, a row taken from its data set
    wherever a column of it is needed, lists to tensors, groups in Python."""
    import torch
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()

    def of_seeds(name: str, columns: list[str]) -> list[Any]:
        paths = [str(folder / name / f"seed={seed}.parquet") for seed in SEEDS]
        return [Dataset.from_parquet(path, cache_dir=str(folder / "cache"), columns=columns) for path in paths]

    traces = of_seeds("traces", ["problem_id", "text", "trace_tokens"])
    initial = of_seeds("logps_initial", ["problem_id", "answer_logp_sum", "answer_tokens", "trace_logps"])
    posterior = of_seeds("logps_posterior", ["problem_id", "trace_logps"])
    found: list[float] = []

    def all_rows() -> None:
        for question in range(len(traces[0])):
            rho = []
            for seed in SEEDS:
                if traces[seed][question]["trace_tokens"] > 28000:
                    continue
                logps_posterior = torch.tensor(posterior[seed][question]["trace_logps"])
                logps_initial = torch.tensor(initial[seed][question]["trace_logps"])
                row = initial[seed][question]
                log_ratio = (logps_initial - logps_posterior).mean().item()
                rho.append(np.exp(log_ratio + row["answer_logp_sum"] / row["answer_tokens"]))
            found.extend(value / sum(rho) for value in rho)

    torch.set_num_threads(1)
    wall, cpu = seconds(all_rows)
    ours = pl.read_parquet(folder / "weights.parquet", columns=["problem_id", "seed", "weight"])
    weight = ours.sort("problem_id", "seed")["weight"]
    return {"wall_s": wall, "cpu_s": cpu, "max_difference": float((weight - pl.Series(found)).abs().max())}


def final_set(folder: Path) -> dict[str, Any]:
    """The final table: selection, mixing, tokenising the data set's own rows, writing."""

    def build() -> None:
        columns = ("problem_id", "question", "system", "solution", "reference")
        frames = selection.build(
            parquet.read_batches(folder / "problems.parquet", schemas.Problems, columns),
            seed_tables.by_problem(folder / "traces", schemas.Traces, SEEDS, selection.TRACE_COLUMNS),
            seed_tables.by_problem(folder / "likelihood", schemas.Likelihood, SEEDS, selection.LIKELIHOOD_COLUMNS),
            parquet.read(folder / "weights.parquet", schemas.Weights),
            renderer(folder),
            settings(params.BuildFinal, selection="best", mix=True),
        )
        parquet.write_batches(frames, folder / "final.parquet", schemas.Final)

    wall, cpu = seconds(build)
    return {"wall_s": wall, "cpu_s": cpu}


def saved_training_set(folder: Path) -> dict[str, Any]:
    """The rows of the final table, saved as the set that LLaMA-Factory reads (which is mapped to be copied)."""
    final = folder / "final.parquet"
    found: list[training_set.TrainingSetStats] = []

    def save() -> None:
        rows = training_rows.final_rows(
            parquet.read_batches(final, schemas.Final, ("problem_id", "row", "weight", "trace_ids", "answer_ids")),
            parquet.read(folder / "problems.parquet", schemas.Problems, ("problem_id", "question", "system")),
            renderer(folder),
        )
        found.append(training_set.save(rows, folder / "rows", cutoff_len=16384, multiple_of=192))

    wall, cpu = seconds(save)
    n_tokens = sum(list_elements(final, name) for name in ("trace_ids", "answer_ids"))
    return {"rows": found[0].rows, "tokens_per_row": round(n_tokens / found[0].rows), "wall_s": wall, "cpu_s": cpu}


def list_elements(path: Path, column: str) -> int:
    """Elements of a list column."""
    with pq.ParquetFile(path) as file:
        return sum(
            file.metadata.row_group(group).column(at).num_values
            for group in range(file.num_row_groups)
            for at in range(file.metadata.num_columns)
            if file.metadata.row_group(group).column(at).path_in_schema.startswith(f"{column}.")
        )


MEASUREMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "weigh_lists": partial(weigh_all, token_logps=True),
    "weigh_sums": partial(weigh_all, token_logps=False),
    "row_by_row": weigh_row_by_row,
    "final": final_set,
    "rows": saved_training_set,
}


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - wall, time.process_time() - cpu


def in_a_process(name: str, folder: Path) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_tables", "--measure", name, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, folder: Path) -> None:
    """What the fresh process does: prints its result as JSON."""
    before = memory_bytes("VmHWM")
    result = MEASUREMENTS[name](folder)
    peak = memory_bytes("VmHWM")
    print(json.dumps(result | {"extra_mib": round((peak - before) / MIB), "peak_mib": round(peak / MIB)}))


def sizes(path: Path, list_column: str) -> dict[str, Any]:
    """Bytes a token of a table's columns on disk, and what its row groups are like (uncompressed)."""
    n_tokens = list_elements(path, list_column)
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    of_column: dict[str, int] = {}
    for group in groups:
        for at in range(group.num_columns):
            column = group.column(at)
            name = column.path_in_schema.split(".")[0]
            of_column[name] = of_column.get(name, 0) + column.total_compressed_size
    return {
        "tokens": n_tokens,
        "list_bytes_per_token": round(of_column[list_column] / n_tokens, 2),
        "text_bytes_per_token": round(of_column.get("text", 0) / n_tokens, 2),
        "file_bytes_per_token": round(path.stat().st_size / n_tokens, 2),
        "row_groups": len(groups),
        "rows_per_group": max(group.num_rows for group in groups),
        "largest_group_mib": round(max(group.total_byte_size for group in groups) / MIB, 1),
    }


def bench(folder: Path, n_questions: int) -> dict[str, Any]:
    """Everything, one after another."""
    draws = Draws(0)
    write_base(folder / "base", draws.words)
    results: dict[str, Any] = {}
    for n in N_LISTED:
        run = folder / f"lists-{n}"
        write_run(run, draws, n, listed=True)
        results[f"weights from lists, {n * N_TRACES} traces"] = in_a_process("weigh_lists", run)
    few = N_LISTED[0] * N_TRACES
    results[f"row by row, {few} traces"] = in_a_process("row_by_row", folder / f"lists-{N_LISTED[0]}")
    for n in (n_questions // 8, n_questions):
        run = folder / f"run-{n}"
        write_run(run, draws, n)
        results[f"weights from sums, {n * N_TRACES} traces"] = in_a_process("weigh_sums", run)
        results[f"final table, {2 * n} rows"] = in_a_process("final", run)
        results[f"final set saved, {2 * n} rows"] = in_a_process("rows", run)
    results["times as fast as row by row, a trace"] = {
        kind: {
            "lists": round(
                results[f"row by row, {few} traces"][kind] / results[f"weights from lists, {few} traces"][kind], 1
            ),
            "sums": round(
                results[f"row by row, {few} traces"][kind]
                / few
                / (results[f"weights from sums, {n_questions * N_TRACES} traces"][kind] / (n_questions * N_TRACES)),
                1,
            ),
        }
        for kind in ("wall_s", "cpu_s")
    }
    run = folder / f"run-{n_questions}"
    results["bytes"] = {
        "traces": sizes(run / "traces" / "seed=0.parquet", "trace_ids"),
        "logps": sizes(folder / f"lists-{N_LISTED[-1]}" / "logps_posterior" / "seed=0.parquet", "trace_logps"),
        "final": sizes(run / "final.parquet", "trace_ids"),
    }
    return results


def main() -> None:
    """Measure, print, write."""
    parser = command_line(__doc__, "bench_tables")
    parser.add_argument("--questions", type=int, default=N_QUESTIONS, help="how large the run is")
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = bench(Path(folder), options.questions)
    print(f"{'':38}{'wall s':>9}{'cpu s':>9}{'extra MiB':>11}{'peak MiB':>10}")
    for name, row in results.items():
        if "peak_mib" in row:
            print(f"{name:38}{row['wall_s']:>9.2f}{row['cpu_s']:>9.2f}{row['extra_mib']:>11}{row['peak_mib']:>10}")
    print(f"times as fast as row by row, a trace: {results['times as fast as row by row, a trace']}")
    row_by_row = results[f"row by row, {N_LISTED[0] * N_TRACES} traces"]
    print(f"largest difference of a weight: {row_by_row['max_difference']:.1e}")
    for name, row in results["bytes"].items():
        print(f"{name}: {row}")
    write_json(results, options.json)


if __name__ == "__main__":
    main()
