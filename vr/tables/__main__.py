"""`python -m vr.tables` prints what lies in `data/`, with every table's columns, as Markdown: it is data/README.md.

Knows where the pipeline puts its tables, for people; dvc.yaml decides.
"""

from collections.abc import Iterator

import dataframely as dy

from vr.tables import schemas

PLACES: dict[str, type[dy.Schema]] = {
    "problems.parquet": schemas.Problems,
    "left_out.parquet": schemas.LeftOut,
    "benchmarks/<benchmark>.parquet": schemas.Benchmark,
    "subsets/<initial | final>.parquet": schemas.Subset,
    "traces/<proposal>/seed=N.parquet": schemas.Traces,
    "logps/<scored model>/<proposal>/seed=N.parquet": schemas.Logps,
    "answers/<proposal>/seed=N.parquet": schemas.Answers,
    "verifications/<proposal>/seed=N.parquet": schemas.Verifications,
    "likelihood/<estimator>/<proposal>/seed=N.parquet": schemas.Likelihood,
    "weights.parquet": schemas.Weights,
    "final.parquet, baselines/<baseline>.parquet": schemas.Final,
    "evals/<model>/<benchmark>.parquet": schemas.Evals,
}
_HEAD = """\
<!-- Written by `python -m vr.tables > data/README.md`. -->
# Tables

Each file below is a table in Parquet, the output of a DVC stage, not tracked by git; `raw/` alone is yours.
The proposal is the model that the traces were drawn from and the scored model the one that gives the log-probs: \
`posterior` (q) or `initial` (pi_0).

Tables are joined by key, never by position; **bold** columns are the key. Log-probs are natural logs (nats)."""


def markdown() -> str:
    """The whole page."""
    return "\n\n".join([_HEAD, *(_section(place, schema) for place, schema in PLACES.items())])


def _section(place: str, schema: type[dy.Schema]) -> str:
    return "\n".join([f"## `{place}`", "", schema.__doc__ or "", "", *_rows(schema)])


def _rows(schema: type[dy.Schema]) -> Iterator[str]:
    yield from ("| column | type | meaning |", "|---|---|---|")
    for name, column in schema.columns().items():
        kind = _kind(column) + (" or null" if column.nullable else "")
        shown = f"**{name}**" if name in schema.primary_key() else name
        meaning = (column.description or "").replace("|", "\\|")
        yield f"| {shown} | {kind} | {meaning} |"


def _kind(column: dy.Column) -> str:
    return f"list of {_kind(column.inner)}" if isinstance(column, dy.List) else type(column).__name__.lower()


if __name__ == "__main__":
    print(markdown())
