"""Log-probs of one seed's traces, and of the reference answer after each, under pi_0 (step 3): one pass for both.

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes LOGPS (schemas.Logps).
"""

import logging
from functools import partial
from pathlib import Path

from stages import _renderer
from stages._run import Out, run, work_folder
from stages._settings import machine, params
from vr.engines.scoring.scorer import score_traces, scorer
from vr.execution import resume
from vr.renderers import trace_examples
from vr.renderers.renderer import PROBLEM_COLUMNS
from vr.settings.params import ScoreInitial
from vr.tables import keys, parquet, schemas
from vr.tables.vocabulary import TRACE_KEY


def main(problems: Path, traces: Path, initial: Path, reasoner: Path, logps: Out) -> None:
    p, how = params(ScoreInitial), machine()
    asked = parquet.read(problems, schemas.Problems, PROBLEM_COLUMNS)
    sampled = parquet.read(traces, schemas.Traces, (*TRACE_KEY, *trace_examples.TRACE_COLUMNS))
    renderer = _renderer.load(initial, reasoner=reasoner, template=p.template, proposal=keys.proposal_of(traces))
    trace_examples.require_known_ids(sampled, initial)
    examples_of = partial(trace_examples.under_initial, renderer, asked)
    with (
        work_folder(logps, problems, traces, initial, reasoner, p.model_dump()) as folder,
        scorer(initial, p.precision, how) as score,
    ):
        compute = partial(score_traces, score, sampled, examples_of, token_logps=p.token_logps)
        resume.write(folder, sampled.height, compute, logps, schemas.Logps, shard_rows=how.shard_rows)
    written = parquet.read(logps, schemas.Logps, ("trace_logp_sum", "trace_tokens"))
    n_tokens, n_unscored = written["trace_tokens"].sum(), written["trace_logp_sum"].null_count()
    logging.info("%d traces, %d tokens; %d not scorable", written.height, n_tokens, n_unscored)


if __name__ == "__main__":
    run(main)
