"""n responses of one model to every question of one benchmark, judged (step 8).

Reads BENCHMARK, PROBLEMS (for the system prompts that models were trained with), MODEL, the system prompts REASONER
and UNTRAINED. Writes EVALS (schemas.Evals).
A model that was trained here is prefilled with the begin marker of the thought, as in training.
"""

import logging
from pathlib import Path

import polars as pl

from stages._run import counts, run, work_folder
from stages._settings import machine, params, wording
from vr.engines import draws
from vr.execution import resume
from vr.method import judging
from vr.renderers import renderer
from vr.settings.params import Evaluate
from vr.tables import parquet, schemas


def main(benchmark: Path, problems: Path, model: Path, reasoner: Path, untrained: Path, evals: Path) -> None:
    p, how = params(Evaluate), machine()
    trained, shown = model.name not in p.untrained, wording(reasoner, untrained=untrained)
    questions = parquet.read(benchmark, schemas.Benchmark)
    asked = questions.join(pl.DataFrame({"sample": range(p.samples[benchmark.stem])}), how="cross")
    if trained:
        renderer.warn_of_unknown_prompts(questions, parquet.read(problems, schemas.Problems, ("problem_id", "system")))
    sampler = draws.Sampler(model, renderer.load(model, shown), p, how)
    settings = p.model_dump() | {"samples": p.samples[benchmark.stem], "trained": trained}
    with work_folder(evals, benchmark, problems, model, reasoner, untrained, settings) as folder:
        drawn = pl.concat(
            resume.resume(
                folder / "drawn",
                asked.height,
                lambda indices: draws.responses(sampler, asked, p.seed, indices, trained=trained),
                parquet.types(schemas.Evals, draws.RESPONSE),
                shard_rows=how.shard_rows,
            )
        )
        resume.write(
            folder / "judged",
            asked.height,
            lambda indices: judging.responses(asked, drawn, indices, how, boxed_without_solution=p.boxed_without_solution),
            evals,
            schemas.Evals,
            shard_rows=how.shard_rows,
        )
    frame = parquet.read(evals, schemas.Evals, ("outcome", "judged"))
    logging.info(
        "%s, %s: %d responses: %s; judged by: %s",
        model.name, benchmark.stem, frame.height, counts(frame, "outcome"), counts(frame, "judged"),
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
