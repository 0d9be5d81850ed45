"""Traces of one seed, z_k ~ q(. | x, y') or pi_0(. | x), for every question of the subset (step 2).

Reads PROBLEMS, those of them in SUBSET, MODEL, the system prompts REASONER and POSTERIOR. Writes TRACES
(schemas.Traces); its path, .../PROPOSAL/seed=N.parquet, says which proposal and which seed.
"""

import logging
from functools import partial
from pathlib import Path

from stages import _renderer
from stages._run import Out, counts, run, work_folder
from stages._settings import machine, params
from vr.engines import draws
from vr.execution import resume
from vr.settings.params import SampleTraces
from vr.tables import keys, parquet, schemas


def main(problems: Path, subset: Path, model: Path, reasoner: Path, posterior: Path, traces: Out) -> None:
    p, how = params(SampleTraces), machine()
    seed, proposal = keys.seed_of(traces), keys.proposal_of(traces)
    asked = keys.problems_of(problems, subset)
    renderer = _renderer.load(
        model, reasoner=reasoner, posterior=posterior, hint=p.hint, template=p.template, proposal=proposal
    )
    _renderer.warn_of_missing_hints(renderer, asked)
    sampler = draws.Sampler(model, renderer, p, how)
    compute = partial(draws.traces, sampler, asked, seed, logps=p.posterior_logps == "sampler")
    with work_folder(traces, problems, subset, model, reasoner, posterior, p.model_dump()) as folder:
        resume.write(folder, asked.height, compute, traces, schemas.Traces, shard_rows=how.shard_rows)
    finish = parquet.read(traces, schemas.Traces, ("finish",))
    logging.info("%s, seed %d: %d traces: %s", proposal, seed, finish.height, counts(finish, "finish"))


if __name__ == "__main__":
    run(main)
