"""Log-probs of one seed's traces under q, which drew them: q(z_k | x, y') (step 3).

Reads PROBLEMS, TRACES, the model Q, the system prompt POSTERIOR. Writes LOGPS (schemas.Logps) and STATISTICS (CSV:
where the log-probs come from; where that is the sampler, how far some of them are from the scorer's).
"""

import logging
from functools import partial
from pathlib import Path

import polars as pl

from stages import _renderer
from stages._run import Out, run, work_folder
from stages._settings import machine, params
from vr.engines.scoring import sampler_logps
from vr.engines.scoring.scorer import score_traces, scorer
from vr.execution import resume
from vr.renderers import trace_examples
from vr.renderers.renderer import PROBLEM_COLUMNS
from vr.settings.params import ScorePosterior
from vr.tables import parquet, schemas
from vr.tables.files import atomic_file
from vr.tables.vocabulary import TRACE_KEY


def main(problems: Path, traces: Path, q: Path, posterior: Path, logps: Out, statistics: Out) -> None:
    p, how = params(ScorePosterior), machine()
    from_sampler = p.posterior_logps == "sampler"
    asked = parquet.read(problems, schemas.Problems, PROBLEM_COLUMNS)
    columns = (*TRACE_KEY, *trace_examples.TRACE_COLUMNS, *(("trace_logps",) if from_sampler else ()))
    sampled = parquet.read(traces, schemas.Traces, columns)
    renderer = _renderer.load(q, posterior=posterior, hint=p.hint, template=p.template, proposal="posterior")
    trace_examples.require_known_ids(sampled, q)
    examples_of = partial(trace_examples.under_proposal, renderer, asked)
    compared = {}
    with (
        work_folder(logps, problems, traces, q, posterior, p.model_dump()) as folder,
        scorer(q, p.precision, how) as score,
    ):
        if from_sampler:
            parquet.write(sampler_logps.as_logps(sampled, token_logps=p.token_logps), logps, schemas.Logps)
            compared = sampler_logps.compare(score, sampled, examples_of)
        else:
            compute = partial(score_traces, score, sampled, examples_of, token_logps=p.token_logps)
            resume.write(folder, sampled.height, compute, logps, schemas.Logps, shard_rows=how.shard_rows)
    written = parquet.read(logps, schemas.Logps, ("trace_logp_sum", "trace_tokens"))
    summary = {
        "logps_from": p.posterior_logps,
        "traces": written.height,
        "trace_tokens": written["trace_tokens"].sum(),
        "not_scorable": written["trace_logp_sum"].null_count(),
        **compared,
    }
    with atomic_file(statistics) as part:
        pl.DataFrame([summary]).write_csv(part)
    logging.info(", ".join(f"{name} {value}" for name, value in summary.items()))


if __name__ == "__main__":
    run(main)
