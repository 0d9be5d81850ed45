"""Every table of the pipeline, each column declared once: type, unit, meaning, rules.

A table is one Parquet file (zstd). Reading and writing validate: names first, then types, keys and rules; an
error names the file, the column or rule and the first offending key. Tables are joined by key, never by position.

Dimensions: Q questions, K traces a question (one per seed), M answers a trace, T tokens.
Units are in the names: `_tokens`, `_seconds`; log-probabilities and their sums are natural logs (nats).
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = ("train", "dev", "test")
VERIFIERS = ("math", "stdin", "call", "choice", "reasoning_gym", "none")
FINISHES = ("marker", "eos", "length", "prompt_too_long")
OUTCOMES = ("correct", "wrong", "no_answer", "timeout", "crashed", "unparsable_reference", "not_run")
JUDGED = ("correct", "wrong", "no_answer")
"""Outcomes that say something about the model. The others are the checker's own failures: never a wrong answer."""
ORIGINS = ("trace", "original", "fallback")
REASONS = ("", "empty", "truncated", "too_long", "unscored", "none_correct", "none_judged", "weak_verifier")
"""Why rho of a trace is 0 ("" where it is not); `weak_verifier`: acc was 0, the gml weight stands in."""

ROW_GROUP_BYTES = 64 << 20  # uncompressed; a reader that streams row groups needs no more than a few of these

_KEY_PROBLEM = "the problem, unique over all sources"
_KEY_SEED = "which of the K traces of the problem; also fixes the trace's random seed"
_IDS = dy.Int32(nullable=False, min=0)


class Problems(dy.Schema):
    """problems: Q rows, train questions with their reference solutions and held-out questions."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    source = dy.String(min_length=1, description="data set or generator that the problem comes from")
    split = dy.Enum(SPLITS, description="train | dev (for tuning) | test (reported)")
    benchmark = dy.String(nullable=True, min_length=1, description="benchmark of a held-out problem; null: train")
    question = dy.String(description="x, as the user turn")
    system = dy.String(nullable=True, description="the row's own system prompt of pi; null: the default file")
    solution = dy.String(nullable=True, description="whole response with markers: z* and y*; null: none known")
    reference = dy.String(nullable=True, description="reference answer, for verifiers math and choice")
    verifier = dy.Enum(VERIFIERS, description="how an answer is judged")
    tests = dy.String(nullable=True, description="JSON for the verifier: APPS/TACO input_output, or a scorer's entry")

    @dy.rule()
    def question_is_not_empty(cls) -> pl.Expr:
        return pl.col("question").str.strip_chars().str.len_chars() > 0

    @dy.rule()
    def solution_has_the_four_markers_in_order(cls) -> pl.Expr:
        return pl.col("solution").str.contains(
            r"(?s)<\|begin_of_thought\|>.*<\|end_of_thought\|>\s*<\|begin_of_solution\|>.*<\|end_of_solution\|>"
        )

    @dy.rule()
    def train_rows_have_a_solution(cls) -> pl.Expr:
        return (pl.col("split") != "train") | pl.col("solution").is_not_null()

    @dy.rule()
    def held_out_rows_have_a_benchmark(cls) -> pl.Expr:
        return (pl.col("split") == "train") | pl.col("benchmark").is_not_null()


class Traces(dy.Schema):
    """traces: one row per question and seed, z_k ~ q(. | x, y')."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    seed = dy.Int32(primary_key=True, description=_KEY_SEED)
    trace_ids = dy.List(_IDS, description="token ids as sampled, end marker included")
    trace_tokens = dy.Int32(min=0, description="length of trace_ids")
    thought_tokens = dy.Int32(min=0, description="tokens of trace_ids before the end marker")
    text = dy.String(description="the thought without its marker, for people")
    finish = dy.Enum(FINISHES, description="what ended it: marker | eos | length | prompt_too_long")
    trace_logps = dy.List(
        dy.Float32(nullable=False), nullable=True, description="per token under its sampler, nats; null: not kept"
    )

    @dy.rule()
    def trace_tokens_counts_trace_ids(cls) -> pl.Expr:
        return pl.col("trace_ids").list.len() == pl.col("trace_tokens")


class Logps(dy.Schema):
    """logps: one row per question and seed; what one model gives the trace (and pi_0 the reference answer)."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    seed = dy.Int32(primary_key=True, description=_KEY_SEED)
    trace_logp_sum = dy.Float64(nullable=True, max=1e-6, description="log p(z_k | ...), nats; null: not scorable")
    trace_tokens = dy.Int32(min=0, description="tokens in that sum, end marker included")
    answer_logp_sum = dy.Float64(nullable=True, max=1e-6, description="log pi_0(y* | x, z_k), nats; null: not scored")
    answer_tokens = dy.Int32(nullable=True, min=1, description="tokens in that sum, end marker included")
    trace_logps = dy.List(dy.Float32(nullable=False), nullable=True, description="per token, nats; null: not kept")


class Answers(dy.Schema):
    """answers: M rows per trace, y ~ pi_0(. | x, z_k)."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    seed = dy.Int32(primary_key=True, description=_KEY_SEED)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0, description="which of the M answers of the trace")
    answer_ids = dy.List(_IDS, description="token ids as sampled, end marker included")
    text = dy.String(description="the answer without its marker")
    finish = dy.Enum(FINISHES, description="what ended it: marker | eos | length | prompt_too_long")


class Verifications(dy.Schema):
    """verifications: one row per answer."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    seed = dy.Int32(primary_key=True, description=_KEY_SEED)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0, description="which of the M answers of the trace")
    outcome = dy.Enum(OUTCOMES, description="the verdict; only correct, wrong and no_answer are about the model")
    detail = dy.String(description="why: failing test, exception class, limit; empty where nothing is to say")
    cpu_seconds = dy.Float64(min=0, description="processor time of the check")
    wall_seconds = dy.Float64(min=0, description="wall-clock time of the check")
    isolation = dy.String(description="how well the check was fenced in: full | native | unsafe | worker | none")


class Likelihood(dy.Schema):
    """likelihood/<estimator>: one row per question and seed, the likelihood term l_k of one estimator."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    seed = dy.Int32(primary_key=True, description=_KEY_SEED)
    log_likelihood = dy.Float64(nullable=True, max=1e-6, description="l_k, nats; null: log 0 or not known")
    reason = dy.Enum(REASONS, description="why log_likelihood is null")
    answer_ids = dy.List(_IDS, nullable=True, description="acc: the correct answer to train with; null: y* itself")


class Weights(dy.Schema):
    """weights: one row per question and used seed (K of them)."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    seed = dy.Int32(primary_key=True, description=_KEY_SEED)
    log_ratio = dy.Float64(nullable=True, description="r_k = log(pi_0/q)/|z_k|, nats a token; null: not scorable")
    log_likelihood = dy.Float64(nullable=True, max=1e-6, description="l_k, nats; null where not finite")
    log_rho = dy.Float64(nullable=True, description="r_k + l_k, nats; null: rho_k = 0")
    weight = dy.Float64(min=0, max=1, description="rho~_k; sums to 1 over a question, or is 0 for all of it")
    chosen = dy.Bool(description="the highest rho of the question, ties: the lowest seed")
    reason = dy.Enum(REASONS, description="why this trace's weight is 0, or which rule gave it")

    @dy.rule()
    def weights_sum_to_one_or_zero_per_question(cls) -> pl.Expr:
        total = pl.col("weight").sum().over("problem_id")
        return (total == 0) | ((total - 1).abs() < 1e-9)

    @dy.rule()
    def one_trace_is_chosen_where_weights_are_not_zero(cls) -> pl.Expr:
        chosen = pl.col("chosen").sum().over("problem_id")
        return chosen == (pl.col("weight").sum().over("problem_id") > 0).cast(pl.UInt32)


class Final(dy.Schema):
    """final: the rows that the final model learns from."""

    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    row = dy.Int32(primary_key=True, min=0, description="which of the problem's rows")
    seed = dy.Int32(nullable=True, description="the trace's seed; null: the data set's own trace")
    origin = dy.Enum(ORIGINS, description="trace | original (mixed in) | fallback (no trace had weight)")
    weight = dy.Float64(min=0, description="loss weight of the row")
    trace_ids = dy.List(_IDS, description="z with its end marker, as pi writes it")
    answer_ids = dy.List(_IDS, description="y with its end marker")
    text = dy.String(description="the response, for people")


class Evals(dy.Schema):
    """evals/<model>: n rows per held-out question."""

    benchmark = dy.String(min_length=1, description="benchmark of the problem")
    problem_id = dy.String(primary_key=True, min_length=1, description=_KEY_PROBLEM)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0, description="which of the n answers of the question")
    verifier = dy.Enum(VERIFIERS, description="kind of the problem")
    text = dy.String(description="the whole response as generated")
    response_tokens = dy.Int32(min=0, description="tokens generated")
    finish = dy.Enum(FINISHES, description="what ended it: marker | eos | length | prompt_too_long")
    outcome = dy.Enum(OUTCOMES, description="the verdict")
    detail = dy.String(description="why")


TABLES: dict[str, type[dy.Schema]] = {
    "problems": Problems,
    "traces": Traces,
    "logps": Logps,
    "answers": Answers,
    "verifications": Verifications,
    "likelihood": Likelihood,
    "weights": Weights,
    "final": Final,
    "evals": Evals,
}


def read(path: str | Path, schema: type[dy.Schema], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read and validate a table; with `columns`, only those (and only their own rules).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not Parquet, a missing or unknown column, a wrong type, a duplicate key, a broken rule.
    """
    wanted = _columns_in(Path(path), schema, columns)
    return validate(pl.read_parquet(path, columns=wanted), _only(schema, wanted), str(path))


def read_batches(
    path: str | Path, schema: type[dy.Schema], columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """`read` a row group at a time, in order: memory for one of them. Keys are compared over the whole table.

    Raises:
        FileNotFoundError, ValueError: as `read`; a missing file or column and a duplicate key before the first batch.
    """
    wanted = _columns_in(Path(path), schema, columns)
    if keys := [name for name in schema.primary_key() if name in wanted]:
        read(path, schema, keys)

    def batches() -> Iterator[pl.DataFrame]:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                frame = pl.DataFrame(file.read_row_group(number, columns=wanted, use_threads=False))
                yield validate(frame, _only(schema, wanted), str(path))

    return batches()


class ByProblem:
    """A table whose rows are asked for by problem, read a row group at a time.

    Problems asked for in about the order of the file cost one reading of it; another order costs more, never another
    result. Memory: the last two row groups.
    """

    def __init__(self, path: str | Path, schema: type[dy.Schema], columns: Sequence[str]) -> None:
        """Raises FileNotFoundError, ValueError as `read`."""
        self._path, self._columns = Path(path), _columns_in(Path(path), schema, columns)
        self._schema = _only(schema, self._columns)
        read(path, schema, [name for name in schema.primary_key() if name in self._columns])
        self._empty = _empty(schema).select(self._columns)
        self._groups: dict[str, list[int]] = {}
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                ids = pl.DataFrame(file.read_row_group(number, columns=["problem_id"]))["problem_id"]
                for problem_id in ids.unique():
                    self._groups.setdefault(problem_id, []).append(number)
        self._read = lru_cache(maxsize=2)(self._group)

    def rows(self, problem_ids: Sequence[str]) -> pl.DataFrame:
        """All rows of these problems, in the order of the file; none for a problem that the table lacks."""
        numbers = sorted({number for problem_id in problem_ids for number in self._groups.get(problem_id, [])})
        wanted = pl.col("problem_id").is_in(problem_ids)
        return pl.concat([self._empty, *(self._read(number).filter(wanted) for number in numbers)])

    def _group(self, number: int) -> pl.DataFrame:
        with pq.ParquetFile(self._path) as file:
            frame = pl.DataFrame(file.read_row_group(number, columns=self._columns, use_threads=False))
        return validate(frame, self._schema, str(self._path))


def write(frame: pl.DataFrame, path: str | Path, schema: type[dy.Schema]) -> None:
    """Validate and write a table: to a temporary file beside it, renamed at the end, so never half a table.

    Raises:
        ValueError: the frame breaks the schema.
        OSError: the file cannot be written (a full disk); nothing is left under the final name.
    """
    write_batches([frame], path, schema)


def write_batches(frames: Iterable[pl.DataFrame], path: str | Path, schema: type[dy.Schema]) -> None:
    """`write` a table that comes in pieces, in memory for one row group (`ROW_GROUP_BYTES`) and one piece.

    Every piece is validated by itself, so a rule over several rows must find them in one piece; keys are compared over
    all pieces. The same pieces give the same bytes.

    Raises:
        ValueError, OSError: as `write`; whatever `frames` raises. Nothing is then left under the final name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    keys = [_empty(schema).select(schema.primary_key())]

    def validated() -> Iterator[pl.DataFrame]:
        for frame in frames:
            valid = validate(frame, schema, str(path))
            keys.append(valid.select(schema.primary_key()))
            yield valid

    writer = None
    try:
        with _named(path):
            writer = pq.ParquetWriter(part, _arrow(_empty(schema)).schema, compression="zstd")
        for group in _row_groups(validated()):
            with _named(path):
                writer.write_table(_arrow(group), row_group_size=group.height)
        repeated = pl.concat(keys).filter(pl.struct(schema.primary_key()).is_duplicated())
        if repeated.height:
            first = repeated.row(0, named=True)
            raise ValueError(f"{path}: duplicate key: {repeated.height} row(s), the first: {first}")
        with _named(path):
            writer.close()
            os.replace(part, path)
    finally:
        with suppress(OSError, pa.ArrowException):  # it was not to be, the reason is on its way up
            if writer is not None:
                writer.close()
        part.unlink(missing_ok=True)


def _row_groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows of `frames` in pieces of about ROW_GROUP_BYTES, in memory."""
    held: list[pl.DataFrame] = []
    held_bytes = 0
    for frame in frames:
        held.append(frame)
        held_bytes += int(frame.estimated_size())
        if held_bytes >= ROW_GROUP_BYTES:
            whole = pl.concat(held)
            yield from whole.iter_slices(max(1, whole.height * ROW_GROUP_BYTES // held_bytes))
            held, held_bytes = [], 0
    if any(frame.height for frame in held):
        yield pl.concat(held)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors in writing name the table."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())  # plain strings, which every reader knows


def _empty(schema: type[dy.Schema]) -> pl.DataFrame:
    return pl.DataFrame(schema=types(schema))


def _columns_in(path: Path, schema: type[dy.Schema], columns: Sequence[str] | None) -> list[str]:
    """The wanted columns, all of which the file has."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table ({schema.__name__.lower()})")
    try:
        names = pq.read_schema(path).names
    except Exception as error:  # pyarrow raises its own classes, one per kind of damage
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error
    wanted = list(columns or schema.column_names())
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{path}: column {missing[0]!r} is missing (the file has: {', '.join(names)})")
    return wanted


def validate(frame: pl.DataFrame, schema: type[dy.Schema], name: str) -> pl.DataFrame:
    """The frame with the schema's columns, in its order and types.

    Integer and float widths are cast when no value changes; anything else that differs is an error.

    Raises:
        ValueError: naming the table, the column or rule and the first failing key.
    """
    columns = schema.columns()
    if extra := [c for c in frame.columns if c not in columns]:
        raise ValueError(f"{name}: column {extra[0]!r} is not part of the table (it has: {', '.join(columns)})")
    if missing := [c for c in columns if c not in frame.columns]:
        raise ValueError(f"{name}: column {missing[0]!r} is missing (the table has: {', '.join(frame.columns)})")
    for column, declared in columns.items():
        try:
            frame = frame.with_columns(pl.col(column).cast(declared.dtype))
        except pl.exceptions.PolarsError as error:
            got = frame.schema[column]
            why = str(error).splitlines()[0]
            raise ValueError(f"{name}: column {column!r} is {got}, not {declared.dtype} ({why})") from error
    frame = frame.select(list(columns))
    _, failure = schema.filter(frame)
    if counts := failure.counts():
        rule, n_rows = next(iter(counts.items()))
        keys = schema.primary_key() or list(columns)[:1]
        row = failure.details().filter(pl.col(rule) == "invalid").row(0, named=True)
        rule_name = "duplicate key" if rule == "primary_key" else rule.replace("|", ": ")
        shown = {key: row[key] for key in keys} | _offender(rule, row)
        raise ValueError(f"{name}: {rule_name}: {n_rows} row(s) break this rule, the first: {shown}")
    return frame


def with_problems(rows: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Each row with the columns of its problem, in the order of `rows`.

    Raises:
        ValueError: a row whose problem is missing.
    """
    if lost := rows.join(problems, on="problem_id", how="anti")["problem_id"].to_list():
        raise ValueError(f"problems: problem_id {lost[0]!r} of a trace is missing")
    return rows.join(problems, on="problem_id", how="left", validate="m:1", maintain_order="left")


def types(schema: type[dy.Schema]) -> dict[str, pl.DataType]:
    """Name and Polars type of every column."""
    return {name: column.dtype for name, column in schema.columns().items()}


def seed_of(path: str | Path) -> int:
    """The seed in a table's name, as in `traces/seed=3.parquet`.

    Raises:
        ValueError: the name is of another form.
    """
    match = re.fullmatch(r"seed=(\d+)\.parquet", Path(path).name)
    if match is None:
        raise ValueError(f"{path}: the table's name should be seed=N.parquet")
    return int(match.group(1))


def _offender(rule: str, row: dict[str, Any]) -> dict[str, Any]:
    """The column that a rule is named after, with its value cut short."""
    for name in (rule.split("|")[0], *rule.split("_")):
        if name in row and name != rule:
            return {name: str(row[name])[:80]}
    return {}


def _only(schema: type[dy.Schema], columns: Sequence[str]) -> type[dy.Schema]:
    """The schema cut down to some columns; rules over several columns then do not apply."""
    if list(columns) == schema.column_names():
        return schema
    chosen = {name: column for name, column in schema.columns().items() if name in columns}
    return type(schema.__name__, (dy.Schema,), chosen)


def _markdown() -> str:
    """The declarations above as Markdown, for the README."""
    lines = []
    for schema in TABLES.values():
        title, _, meaning = (schema.__doc__ or "").strip().partition(": ")
        lines += ["", f"**{title}**: {meaning}", "", "| column | type | meaning |", "|---|---|---|"]
        for name, column in schema.columns().items():
            kind = type(column).__name__.lower() + (" or null" if column.nullable else "")
            shown = f"**{name}**" if name in schema.primary_key() else name
            meaning = (column.description or "").replace("|", "\\|")
            lines.append(f"| {shown} | {kind} | {meaning} |")
    return "\n".join(lines).strip()


if __name__ == "__main__":
    print(_markdown())
