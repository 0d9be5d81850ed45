"""Log-probs of one seed's traces under the model that sampled them, q(z_k | x, y') (step 3).

Reads PROBLEMS, TRACES, SAMPLER (which model that is), the system prompts REASONER and POSTERIOR.
Writes LOGPS (tables.Logps).
"""

import logging
from pathlib import Path

from stages import machine, params, prompt, run
from stages.trace_sampler import model_of
from vr import scoring, tables, tokens
from vr.params import ScorePosterior
from vr.roles import QUESTION_COLUMNS, Roles, rows_of_traces


def main(problems: Path, traces: Path, sampler: Path, reasoner: Path, posterior: Path, logps: Path) -> None:
    p, model = params(ScorePosterior), model_of(sampler)
    roles = Roles(tokens.Coder(tokens.load(model)), prompt(reasoner), prompt(posterior), p.hint, p.template)
    sampled = tables.read(traces, tables.Traces)
    rows = rows_of_traces(
        tables.read(problems, tables.Problems, QUESTION_COLUMNS),
        sampled,
        lambda problem, trace_ids, _: roles.sampler_row(problem, trace_ids),
    )
    scores = scoring.score(model, rows, machine=machine(), token_logps=p.token_logps)
    frame = scoring.table(sampled, scores)
    tables.write(frame, logps, tables.Logps)
    unscored = frame["trace_logp_sum"].null_count()
    logging.info("%d traces, %d tokens; %d not scorable", frame.height, frame["trace_tokens"].sum(), unscored)


if __name__ == "__main__":
    run(main)
