"""Which stages run, and their rows, tokens, steps and batches, worked out by hand."""

import pytest
from planned import gpus, stages

from vr.plan.work import Drawing, Training
from vr.settings.machine import Machine


def training(recipe: str, name: str, **how: object) -> Training:
    found = stages(recipe, **how)[name].work
    assert isinstance(found, Training)
    return found


def test_the_miniature_runs_these_stages() -> None:
    found = {name: stage.times for name, stage in stages("miniature").items()}
    assert found == {
        "problems": 1, "benchmark@miniature_test": 1, "subsets": 1, "base": 1,
        "train_initial": 1, "train_posterior": 1,
        "sample_traces@posterior-*": 4, "score_initial@posterior-*": 4, "score_posterior@*": 4,
        "sample_answers@posterior-*": 4, "verify_answers@posterior-*": 4, "likelihood_acc@posterior-*": 4,
        "likelihood_reference": 1, "weigh": 1, "build_final": 1, "train_final": 1,
        "evaluate@*-miniature_test": 2, "report": 1,
    }  # fmt: skip


def test_a_stage_that_nothing_depends_on_does_not_run() -> None:
    assert not [name for name in stages("miniature", estimator="gml") if "answers" in name or "acc" in name]
    from_initial = stages("miniature", proposal="initial")
    assert not [name for name in from_initial if "posterior" in name]
    assert "sample_traces@initial-*" in from_initial
    taken = stages("miniature", train_initial__source="somewhere")["train_initial"]
    assert not isinstance(taken.work, Training)


def test_the_baseline_is_trained_where_it_is_evaluated_on_as_many_rows_as_the_final_model() -> None:
    found = stages("miniature", baselines=["sft"], evaluate__models=["sft", "final"])
    assert (found["build_baseline@sft"].rows, found["train_baseline@sft"].rows) == (3000, 3000)
    assert found["train_baseline@sft"].work.steps == found["train_final"].work.steps == 1128
    assert "train_baseline@sft" not in stages("miniature", baselines=["sft"], evaluate__models=["final"])


def test_rows_steps_and_batch_of_a_training() -> None:
    initial, final = training("miniature", "train_initial"), training("miniature", "train_final")
    # 1,500 rows in batches of 16: 94 steps an epoch, 12 epochs
    assert (initial.layout.batch, initial.steps) == (16, 12 * 94)
    # with mix two rows a question, and twice the batch
    assert stages("miniature")["train_final"].rows == 3000
    assert (final.layout.batch, final.steps) == (32, 12 * 94)


def test_the_paper_s_batch_is_micro_batch_times_accumulation_times_ranks() -> None:
    layout = training("qwen3-8b-17k", "train_final", on=gpus("h100", 8), machine=Machine(zero_stage=3)).layout
    assert (layout.micro_batch, layout.accumulation, layout.ranks, layout.batch) == (1, 24, 8, 192)
    # weighted: all 8 traces of a question
    layout = training("qwen2.5-7b-1k", "train_final", on=gpus("h100", 8)).layout
    assert layout.batch == 16 * 8


def test_subsets_decide_who_learns_from_what() -> None:
    found = stages("qwen2.5-7b-1k-no-overlap", on=gpus("h100", 8))
    assert found["train_initial"].rows == 16_710 - 1000
    assert found["sample_traces@posterior-*"].rows == 1000
    assert found["train_final"].rows == 8 * 1000


def test_sampling_asks_m_answers_of_each_trace_and_n_of_each_question() -> None:
    found = stages("miniature")
    assert found["sample_answers@posterior-*"].rows == 1500 * 4
    assert found["evaluate@*-miniature_test"].rows == 300 * 8
    answers = found["sample_answers@posterior-*"].work
    assert isinstance(answers, Drawing)
    assert (answers.prompts, answers.longest) == (1500, 48)


def test_tokens_are_rows_times_mean_length() -> None:
    found = stages("miniature")  # prompt 37, trace 20, answer 8, markers 4; the hint and its words add 8 + 20
    assert found["train_initial"].tokens == 12 * 1500 * 69
    assert found["train_posterior"].tokens == 12 * 1500 * (37 + 28 + 20)
    assert found["sample_traces@posterior-*"].tokens == 1500 * 20
    assert found["score_initial@posterior-*"].tokens == 1500 * 69


def test_a_row_is_cut_off_and_a_text_ends_at_max_tokens() -> None:
    assert training("miniature", "train_initial", training__cutoff_len=50).longest == 50
    assert stages("miniature", sample_traces__max_tokens=5)["sample_traces@posterior-*"].tokens == 1500 * 5


def test_a_batch_that_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(ValueError, match="a global batch of 16 rows cannot be reached with 3 ranks"):
        stages("miniature", machine=Machine(train_ranks=3))
