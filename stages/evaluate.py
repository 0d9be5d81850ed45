"""n answers of one model to every held-out question, judged (step 8).

Reads PROBLEMS, MODEL, the system prompt REASONER. Writes EVALS (schemas.Evals).
The model's turn is prefilled with the begin marker of the thought, as in training; it writes the rest by itself.
"""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from stages import counts, machine, params, prompt, run, unfinished
from vr import verify
from vr.engines import sampling
from vr.execution import resume
from vr.renderers import markers, renderer
from vr.settings.params import Evaluate
from vr.tables import parquet, schemas


def main(problems: Path, model: Path, reasoner: Path, evals: Path) -> None:
    p, here, system = params(Evaluate), machine(), prompt(reasoner)
    columns = ("problem_id", "split", "benchmark", "question", "system", "verifier", "reference", "tests")
    asked = _asked(parquet.read(problems, schemas.Problems, columns).filter(split=p.split), p)
    coder = renderer.Renderer(renderer.load(model))

    def requests(numbers: list[int]) -> Iterator[sampling.Request]:
        for n in numbers:
            row = asked.row(n, named=True)
            request_seed = sampling.request_seed("evaluate", row["problem_id"], p.seed, row["sample"])
            yield sampling.Request(n, coder.reasoner_prompt(row["question"], row["system"] or system), request_seed)

    def drawn(numbers: list[int]) -> Iterator[tuple[int, resume.Row]]:
        samples = sampling.sample(
            model, requests(numbers), total=len(numbers), **p.decoding, end_marker=None, machine=here
        )
        for n, sample in samples:
            yield n, {"text": sample.text, "response_tokens": len(sample.ids), "finish": sample.finish}

    def judged(numbers: list[int], responses: Iterator[resume.Row]) -> Iterator[tuple[int, resume.Row]]:
        wanted = set(numbers)
        to_judge, to_write = itertools.tee(row for n, row in enumerate(responses) if n in wanted)
        verdicts = verify.verify(
            (_task(asked.row(n, named=True), row) for n, row in zip(numbers, to_judge, strict=True)),
            kinds=set(asked["verifier"]),
            total=len(numbers),
            **here.judging,
            progress=True,
        )
        for n, row, verdict in zip(numbers, to_write, verdicts, strict=True):
            key = asked.row(n, named=True)
            yield (
                n,
                {
                    **{name: key[name] for name in ("benchmark", "problem_id", "sample", "verifier")},
                    **row,
                    "outcome": verdict.outcome,
                    "detail": verdict.detail,
                },
            )

    with unfinished(evals, problems, model, reasoner, p.model_dump()) as folder:
        types = parquet.types(schemas.Evals)
        response_types = {name: types[name] for name in ("text", "response_tokens", "finish")}
        frames = resume.rows(folder / "drawn", asked.height, drawn, response_types, shard_rows=here.shard_rows)
        responses = (row for frame in frames for row in frame.iter_rows(named=True))
        resume.write(
            folder / "judged",
            asked.height,
            lambda numbers: judged(numbers, responses),
            evals,
            schemas.Evals,
            shard_rows=here.shard_rows,
        )
    outcome = parquet.read(evals, schemas.Evals, ("outcome",))
    logging.info("%s: %d answers: %s", model.name, outcome.height, counts(outcome, "outcome"))


def _asked(held_out: pl.DataFrame, p: Evaluate) -> pl.DataFrame:
    """A row for each answer that is to be drawn: the problem's columns and `sample`."""
    frames = []
    for benchmark, n in p.benchmarks.items():
        questions = held_out.filter(benchmark=benchmark)
        if questions.is_empty():
            there = held_out["benchmark"].unique().sort().to_list()
            raise ValueError(
                f"evaluate.benchmarks: {benchmark!r} has no question in split {p.split!r} (there: {there})"
            )
        frames.append(questions.join(pl.DataFrame({"sample": range(n)}), how="cross", maintain_order="left_right"))
    return pl.concat(frames)


def _task(asked: resume.Row, response: resume.Row) -> verify.Task:
    answer = markers.judged_part(response["text"], complete=response["finish"] == "eos")
    return verify.Task(asked["verifier"], answer, asked["reference"], asked["tests"])


if __name__ == "__main__":
    run(main)
