"""Every table of the pipeline, each column declared once: type, unit, meaning, rules.

A table is one Parquet file; reading and writing it validates it (vr/parquet.py, whose functions are offered here
too). Tables are joined by key, never by position.

Dimensions: Q questions, K traces a question (one per seed), M answers a trace, T tokens.
Units are in the names: `_tokens`, `_seconds`; log-probabilities and their sums are natural logs (nats).
"""

import dataframely as dy
import polars as pl

from vr.tables.vocabulary import FINISHES, ORIGINS, OUTCOMES, REASONS, SPLITS, VERIFIERS

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
