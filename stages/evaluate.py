"""n responses of one model to every question of one benchmark, judged (step 8).

Reads BENCHMARK, PROBLEMS (for the system prompts that models were trained with), MODEL, the system prompts REASONER
and UNTRAINED. Writes EVALS (schemas.Evals).
A model that was trained here is asked as in training: with the system prompt that all training questions have (REASONER
where they have none, or several), and prefilled with the begin marker of the thought. Where the checker itself fails on
more than 1 % of the responses the stage is an error; the next run judges those again, and no others.
"""

import logging
from pathlib import Path

import polars as pl

from stages import _renderer
from stages._run import Out, counts, run, work_folder
from stages._settings import machine, params
from vr.engines import draws
from vr.execution import resume
from vr.method import judging, unjudged
from vr.renderers.renderer import warn_of_unknown_prompts, with_prompt_of_training
from vr.settings.params import Evaluate
from vr.tables import parquet, schemas


def main(benchmark: Path, problems: Path, model: Path, reasoner: Path, untrained: Path, evals: Out) -> None:
    p, how = params(Evaluate), machine()
    n, trained = p.samples[benchmark.stem], model.name not in p.untrained
    renderer = _renderer.load(model, reasoner=reasoner, untrained=untrained)
    training = parquet.read(problems, schemas.Problems, ("problem_id", "system"))
    questions = with_prompt_of_training(parquet.read(benchmark, schemas.Benchmark), training)
    if trained:
        warn_of_unknown_prompts(questions, training, renderer.wording)
    asked = questions.join(pl.DataFrame({"sample": range(n)}), how="cross", maintain_order="left_right")
    sampler = draws.Sampler(model, renderer, p, how)

    def drawn(indices: list[int]) -> draws.Draws:
        return draws.responses(sampler, asked, p.seed, indices, trained=trained)

    def judged(indices: list[int]) -> judging.Verdicts:
        return judging.responses(asked, responses, indices, how, boxed_without_solution=p.boxed_without_solution)

    settings = p.model_dump(exclude={"models", "benchmarks", "samples", "untrained"}) | {"n": n, "trained": trained}
    settings["prompts"] = questions["system"].unique().sort().to_list()
    with work_folder(evals, benchmark, model, reasoner, untrained, settings) as folder:
        blocks = resume.resume(folder / "drawn", asked.height, drawn, draws.response_types(), shard_rows=how.shard_rows)
        responses = pl.concat(blocks)
        resume.write(folder / "judged", asked.height, judged, evals, schemas.Evals, shard_rows=how.shard_rows)
    frame = parquet.read(evals, schemas.Evals, ("problem_id", "sample", "outcome", "judged"))
    logging.info("%d responses: %s; judged by: %s", frame.height, counts(frame, "outcome"), counts(frame, "judged"))
    logging.info("Avg@%d: %s", n, unjudged.score_in_words(unjudged.tally(frame, ("problem_id",))))


if __name__ == "__main__":
    run(main)
