r"""How each question's answers are judged: its verifier, with the reference or the tests of the row it was made from.

Mathematics and ruc: right is what equals the source's last box or the data set's own (the authors' rule,
zhouxiangxin1998/SkyThought@6454fea, variational_reasoning/verify). A row of ruc is its source's text unchanged, so the
last box of the whole response is the source's. Without any box the verifier is `none`.

Programs: all tests of the source's `input_output`. The verifier is `none` where there are no tests, where they are
longer than MAX_TESTS_BYTES, and where the question says that any of several outputs will do, because comparing with one
of them refuses right programs. The wording finds 109 of the 137 problems of TACO's test split whose right outputs are
several (output_spj.jsonl of FlagOpen/TACO, case 1), and 6 others of the 1,000.

Not covered: special judges for those, problems of that kind that do not say so, and words that may be printed in
either case (case 2 of that list, 42 problems): there the tests' own spelling counts.
"""

import json
import logging

import polars as pl

from vr.renderers.markers import split_response
from vr.settings.sources import BespokeStratos
from vr.sources.bespoke_stratos.attribution import read
from vr.verify.extract import final_answer, find_boxes

logger = logging.getLogger(__name__)
MAX_TESTS_BYTES = 8 << 20
"""Of one program: half a row group of a table."""
_SEVERAL = r"(?:several|multiple|many|more than one|different|various)"
_ANSWERS = (
    r"(?:answers?|solutions?|ways?|arrays?|outputs?|possib\w*|options?|sequences?|strings?|permutations?|such|correct"
    r"|valid|optimal|suitable|variants?|orders?)"
)
ANY_WILL_DO = (
    rf"(?i)\b(?:print|output|return|report) any\b|\b{_SEVERAL}\b[^.\n]{{0,60}}\b{_ANSWERS}\b[^.\n]{{0,80}}\bany\b"
)
"""How a question says that its right outputs are several."""
_COLUMNS = {"reference": pl.String, "verifier": pl.String, "tests": pl.String}


def judged(rows: pl.DataFrame, settings: BespokeStratos) -> pl.DataFrame:
    """The rows, in their order, with reference, verifier and tests.

    Args:
        rows: question, solution (the response), and what attribution.py adds.

    Raises:
        FileNotFoundError, ValueError: a source set cannot be read (vr/sources/hub.py).
    """
    numbered = rows.with_row_index("place")
    parts = [_judged(part, str(source), settings) for (source,), part in numbered.group_by("source")]
    return pl.concat(parts).sort("place").drop("place")


def _judged(rows: pl.DataFrame, source: str, settings: BespokeStratos) -> pl.DataFrame:
    if source == "ruc":
        return _mathematics(rows, rows["solution"])
    if source == "numina":
        return _mathematics(rows, _of_source(rows, source, "solution", settings.numina))
    return _programs(rows, _of_source(rows, source, "input_output", getattr(settings, source)))


def _of_source(rows: pl.DataFrame, source: str, column: str, where: str | None) -> pl.Series:
    """A column of each row's source row; null where that is not known."""
    if where is None:
        return pl.Series(column, [None] * rows.height, dtype=pl.String)
    return read(source, where, [column]).to_series().gather(rows["row"])


# Mathematics


def _mathematics(rows: pl.DataFrame, source_texts: pl.Series) -> pl.DataFrame:
    own = (split_response(response)[1] for response in rows["solution"])
    found = [_compared(source, solution) for source, solution in zip(source_texts, own, strict=True)]
    return rows.hstack(pl.DataFrame(found, schema=_COLUMNS, orient="row"))


def _compared(source: str | None, own: str) -> tuple[str | None, str, str | None]:
    """reference, verifier and tests."""
    answers = dict.fromkeys(answer for text in (source, own) if (answer := _boxed(text)) is not None)
    if not answers:
        return None, "none", None
    reference, *also = answers
    return reference, "math", json.dumps({"also": also}) if also else None


def _boxed(text: str | None) -> str | None:
    return final_answer(text) if text and find_boxes(text) else None


# Programs


def _programs(rows: pl.DataFrame, tests: pl.Series) -> pl.DataFrame:
    found = rows.with_columns(tests=tests).with_columns(why=_why_not_run())
    for (why,), part in found.drop_nulls("why").group_by("why", maintain_order=True):
        logger.info("%s: %d programs are not judged: %s", part["source"][0], part.height, why)
    is_run = pl.col("why").is_null()
    return found.with_columns(
        reference=pl.lit(None, pl.String),
        verifier=pl.when(is_run).then("kind").otherwise(pl.lit("none")),
        tests=pl.when(is_run).then("tests"),
    ).select(*rows.columns, *_COLUMNS)


def _why_not_run() -> pl.Expr:
    none = pl.col("tests").is_null() | (pl.col("tests").str.strip_chars() == "")
    return (
        pl.when(none)
        .then(pl.lit("no tests are known"))
        .when(pl.col("tests").str.len_bytes() > MAX_TESTS_BYTES)
        .then(pl.lit(f"their tests are longer than {MAX_TESTS_BYTES >> 20} MiB"))
        .when(pl.col("question").str.contains(ANY_WILL_DO))
        .then(pl.lit("any of several outputs will do"))
    )
