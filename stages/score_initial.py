"""Log-probs of one seed's traces, and of the reference answer after each, under pi_0 (step 3): one pass for both.

Reads PROBLEMS, TRACES, the model INITIAL, the system prompt REASONER. Writes LOGPS (tables.Logps).
"""

import logging
from pathlib import Path

from stages import machine, params, prompt, run
from vr import scoring, tables, tokens
from vr.params import ScoreInitial
from vr.roles import QUESTION_COLUMNS, Roles, rows_of_traces


def main(problems: Path, traces: Path, initial: Path, reasoner: Path, logps: Path) -> None:
    p = params(ScoreInitial)
    roles = Roles(tokens.Coder(tokens.load(initial)), prompt(reasoner), "", p.hint, p.template)
    sampled = tables.read(traces, tables.Traces)
    rows = rows_of_traces(
        tables.read(problems, tables.Problems, QUESTION_COLUMNS),
        sampled,
        lambda problem, trace_ids, thought_tokens: roles.reasoner_row(
            problem, roles.reasoner_trace(trace_ids, thought_tokens)
        ),
    )
    scores = scoring.score(initial, rows, machine=machine(), token_logps=p.token_logps)
    frame = scoring.table(sampled, scores)
    tables.write(frame, logps, tables.Logps)
    unscored = frame["trace_logp_sum"].null_count()
    logging.info("%d traces, %d tokens; %d not scorable", frame.height, frame["trace_tokens"].sum(), unscored)


if __name__ == "__main__":
    run(main)
