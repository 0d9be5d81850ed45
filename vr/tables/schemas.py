"""Every table of the pipeline, each column declared once: type, unit, meaning, rules.

A table is one Parquet file; reading and writing it validates it (vr/tables/parquet.py). Tables are joined by key,
never by position. `python -m vr.tables` prints all columns (data/README.md).

Dimensions: Q questions, K traces a question (one per seed), M answers a trace, T tokens.
Units: `_tokens` counts tokens, `_seconds` are seconds; log-probs, their sums and log ratios are natural logs (nats).
"""

from typing import ClassVar

import dataframely as dy
import polars as pl

from vr.tables.vocabulary import FINISHES, JUDGED_PARTS, MATCH_METHODS, ORIGINS, OUTCOMES, REASONS, VERIFIERS

_IDS = dy.Int32(nullable=False, min=0)
_LOGP = dy.Float32(nullable=False)
_MARKERS = r"(?s)<\|begin_of_thought\|>.*<\|end_of_thought\|>\s*<\|begin_of_solution\|>.*<\|end_of_solution\|>"


def _four_markers_in_order(solution: pl.Expr) -> pl.Expr:
    return solution.str.contains(_MARKERS)


# Keys


class ProblemKey(dy.Schema):
    """The key of a problem."""

    may_be_empty: ClassVar[bool] = False
    """whether a table without rows can be right (parquet.py)"""
    problem_id = dy.String(primary_key=True, min_length=1, description="the problem, unique over all sources")


class TraceKey(ProblemKey):
    """The key of a trace: its problem, and which of the K traces it is."""

    seed = dy.Int32(primary_key=True, description="which of the problem's K traces; also fixes the trace's random seed")


class AnswerKey(TraceKey):
    """The key of one of the M answers to a trace."""

    may_be_empty: ClassVar[bool] = True
    """where no trace came to its end, there is no answer"""
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0, description="which of the M answers of the trace")


# Questions


class Question(ProblemKey):
    """A question and how its answers are judged; with a solution it is a row of `Problems` or `Benchmark`."""

    source = dy.String(min_length=1, description="data set or generator that the problem comes from")
    question = dy.String(description="x, as the user turn")
    system = dy.String(nullable=True, description="the row's own system prompt of pi; null: the default file")
    reference = dy.String(nullable=True, description="reference answer, for verifiers math and choice")
    verifier = dy.Enum(VERIFIERS, description="how an answer is judged")
    tests = dy.String(
        nullable=True,
        description="JSON for the verifier: APPS/TACO input_output; a scorer's entry; math: {also: other references, "
        "tolerance: absolute, a number or one for each part of a list}, both optional",
    )

    @dy.rule()
    def question_is_not_empty(cls) -> pl.Expr:
        return pl.col("question").str.strip_chars().str.len_chars() > 0


class Problems(Question):
    """Q training questions with their reference solutions."""

    solution = dy.String(
        check={"four_markers_in_order": _four_markers_in_order},
        description="whole response of the data set with its four markers: z*, y*",
    )
    source_row = dy.String(nullable=True, description="the row of its data set, as numina/17; null: the data set's own")
    match_method = dy.Enum(
        MATCH_METHODS, nullable=True, description="how source_row was found: named | text | order; null: not looked for"
    )
    self_check = dy.Enum(
        OUTCOMES,
        nullable=True,
        description="verdict of the question's verifier on its own solution; null: not judged; "
        "any but correct: the verifier is not trusted (weigh.weak_verifier_sources)",
    )


class LeftOut(dy.Schema):
    """Rows of a source that are no training question."""

    source = dy.String(primary_key=True, min_length=1, description="data set or generator that the row comes from")
    source_row = dy.String(primary_key=True, description="the row, by the problem_id that it would have had")
    reason = dy.String(min_length=1, description="why: does not split, duplicate of a problem_id, ...")
    question = dy.String(description="its question, as far as it could be read")


class Benchmark(Question):
    """The held-out questions of one benchmark."""

    solution = dy.String(
        nullable=True,
        check={"four_markers_in_order": _four_markers_in_order},
        description="whole response with its four markers; null: none known",
    )


class Subset(ProblemKey):
    """The training questions that one part of the pipeline uses."""


# Traces and what is known of them


class Traces(TraceKey):
    """One row per question and seed: z_k as its proposal drew it."""

    trace_ids = dy.List(_IDS, description="token ids as sampled, end marker included")
    trace_tokens = dy.Int32(min=0, description="length of trace_ids")
    thought_tokens = dy.Int32(min=0, description="tokens of trace_ids before the end marker")
    text = dy.String(description="the thought without its marker, for people")
    finish = dy.Enum(FINISHES, description="what ended it: marker | eos | length | prompt_too_long")
    trace_logps = dy.List(_LOGP, nullable=True, description="per token under its proposal, nats; null: not kept")

    @dy.rule()
    def trace_tokens_counts_trace_ids(cls) -> pl.Expr:
        return pl.col("trace_ids").list.len() == pl.col("trace_tokens")

    @dy.rule()
    def thought_tokens_are_among_the_trace_tokens(cls) -> pl.Expr:
        return pl.col("thought_tokens") <= pl.col("trace_tokens")


class Logps(TraceKey):
    """One row per question and seed: what one model gives the trace (and pi_0 the reference answer)."""

    trace_logp_sum = dy.Float64(nullable=True, max=1e-6, description="log p(z_k | ...), nats; null: not scorable")
    trace_tokens = dy.Int32(min=0, description="tokens in that sum, end marker included")
    answer_logp_sum = dy.Float64(nullable=True, max=1e-6, description="log pi_0(y* | x, z_k), nats; null: not scored")
    answer_tokens = dy.Int32(nullable=True, min=1, description="tokens in that sum, end marker included")
    trace_logps = dy.List(_LOGP, nullable=True, description="per token, nats; null: not kept")


class Answers(AnswerKey):
    """M rows per trace: y ~ pi_0(. | x, z_k)."""

    answer_ids = dy.List(_IDS, description="token ids as sampled, end marker included")
    text = dy.String(description="the answer without its marker")
    finish = dy.Enum(FINISHES, description="what ended it: marker | eos | length | prompt_too_long")


class Verifications(AnswerKey):
    """One row per answer: its verdict."""

    outcome = dy.Enum(OUTCOMES, description="the verdict; only correct, wrong and no_answer are about the model")
    detail = dy.String(description="why: failing test, exception class, limit; empty where nothing is to say")
    cpu_seconds = dy.Float64(min=0, description="processor time of the check")
    wall_seconds = dy.Float64(min=0, description="wall-clock time of the check")
    isolation = dy.String(description="how well the check was fenced in: full | native | unsafe | worker | none")


class Likelihood(TraceKey):
    """One row per question and seed: the likelihood term l_k of one estimator."""

    log_likelihood = dy.Float64(nullable=True, max=1e-6, description="l_k, nats; null: log 0 or not known")
    reason = dy.Enum(REASONS, description="why log_likelihood is null")
    answer_ids = dy.List(_IDS, nullable=True, description="acc: the correct answer to train with; null: y* itself")


class Weights(TraceKey):
    """One row per question and used seed (K of them)."""

    log_ratio_total = dy.Float64(nullable=True, description="log(pi_0/q) of the trace, nats; null: not scorable")
    log_ratio = dy.Float64(nullable=True, description="log(pi_0/q)/|z_k|, nats a token; null: not scorable")
    log_likelihood = dy.Float64(nullable=True, max=1e-6, description="l_k, nats; null where not finite")
    log_rho = dy.Float64(nullable=True, description="r_k + l_k, nats, with r_k as weigh.ratio says; null: rho_k = 0")
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


# What the final model learns from, and how models do


class Final(ProblemKey):
    """The rows that the final model, or a baseline, learns from."""

    row = dy.Int32(primary_key=True, min=0, description="which of the problem's rows")
    seed = dy.Int32(nullable=True, description="the trace's seed; null: the data set's own trace")
    origin = dy.Enum(ORIGINS, description="trace | original (mixed in) | fallback (no trace had weight)")
    weight = dy.Float64(min=0, description="loss weight of the row")
    trace_ids = dy.List(_IDS, description="z with its end marker, as pi writes it")
    answer_ids = dy.List(_IDS, description="y with its end marker")
    text = dy.String(description="the response, for people")


class Evals(ProblemKey):
    """n rows per question of a benchmark: the responses of one model, judged."""

    sample_ = dy.Int32(alias="sample", primary_key=True, min=0, description="which of the n responses to the question")
    verifier = dy.Enum(VERIFIERS, description="how the response was judged")
    text = dy.String(description="the whole response as generated")
    response_tokens = dy.Int32(min=0, description="tokens generated")
    finish = dy.Enum(FINISHES, description="what ended it: marker | eos | length | prompt_too_long")
    judged = dy.Enum(
        JUDGED_PARTS, description="part of the response that was judged: solution | box | response | nothing"
    )
    outcome = dy.Enum(OUTCOMES, description="the verdict")
    detail = dy.String(description="why")
