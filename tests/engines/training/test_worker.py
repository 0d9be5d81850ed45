"""The trained model is the paper's whatever the layout: real trainings of the worker, compared with one another."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from running import RESUMED, kill_and_resume, make_job, run_jobs
from trainings import LONG, WEIGHTS, Outcome, load_weights, make_rows, params, run_train

from vr.engines.training import trainer
from vr.renderers import markers
from vr.renderers.tokenizer import decode, encode, load_tokenizer
from vr.renderers.training_rows import WeightedExample
from vr.settings.training import Train

PARAMS = params()
TOKEN_MEAN = params(normalizer="token_mean")
LAYOUTS = ["1x2x4", "2x4x1", "2x2x2"]  # ranks, rows at once, accumulation steps


@pytest.fixture(scope="module")
def trained(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings that the tests below look at: a folder for each, by its name."""
    tiny_model, root = tiny_models["special"], tmp_path_factory.mktemp("outcomes")
    jobs = []

    def add(name: str, rows: list[WeightedExample], settings: Train = PARAMS, **how: Any) -> None:
        base = tiny_models["text"] if name == "unbroken" else tiny_model
        jobs.append(make_job(root / name, base, rows, settings, **how))

    weighted, even = make_rows(tiny_model, WEIGHTS), make_rows(tiny_model, [1.0])
    add("1x8x1", weighted)
    add("1x2x4", weighted, train_micro_batch=2)
    add("2x4x1", weighted, train_ranks=2)
    add("2x2x2", weighted, train_ranks=2, train_micro_batch=2)
    add("zero 1", weighted, train_ranks=2, train_micro_batch=2, zero_stage=1)
    add("other words of weight 0", make_rows(tiny_model, WEIGHTS, other="something else"))
    add("mean 1x8x1", weighted, TOKEN_MEAN)
    add("mean 2x2x2", weighted, TOKEN_MEAN, train_ranks=2, train_micro_batch=2, zero_stage=3)
    add("mean of ones", even, TOKEN_MEAN, train_micro_batch=2)
    add("stock", even, TOKEN_MEAN, stock=True, train_micro_batch=2)
    add("bf16", weighted, params(precision="bf16"), train_micro_batch=2)
    add("diverges", weighted, PARAMS.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 1e30}))
    add("unbroken", make_rows(tiny_models["text"], WEIGHTS), params(epochs=LONG), **RESUMED)
    # One step an epoch over the whole set: 7 rows, the first of weight 2; the 8 rows that this stands for; with a
    # row of weight 0 more.
    seven = make_rows(tiny_model, [2.0, *[1.0] * 6], 7)
    eight = make_rows(tiny_model, [1.0], 7) + make_rows(tiny_model, [1.0], 1)
    for name, rows in {
        "double": seven,
        "twice": eight,
        "and nothing": [*eight, *make_rows(tiny_model, [0.0], 1)],
    }.items():
        for normalizer in ("constant", "token_mean"):
            add(f"{name} {normalizer}", rows, params(batch_size=len(rows), epochs=3, normalizer=normalizer))

    run_jobs(jobs)
    return root


@pytest.fixture(scope="module")
def outcomes(trained: Path) -> dict[str, Outcome]:
    """What the trainings came to that came to their end, by name."""
    runs = {path.name: path / "run" for path in trained.iterdir() if not (path / "end").exists()}
    return {name: Outcome(trainer.curves(run / "trainer_state.json"), load_weights(run)) for name, run in runs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_loss_and_gradients_do_not_depend_on_ranks_micro_batch_and_accumulation(
    outcomes: dict[str, Outcome], layout: str
) -> None:
    assert outcomes["1x8x1"].curves.height == 6  # 21 rows and 3 of padding, in batches of 8, twice
    outcomes[layout].assert_close(outcomes["1x8x1"])


@pytest.mark.slow
def test_token_mean_does_not_depend_on_the_layout_either(outcomes: dict[str, Outcome]) -> None:
    outcomes["mean 2x2x2"].assert_close(outcomes["mean 1x8x1"])


@pytest.mark.slow
def test_what_is_learnt_does_not_depend_on_the_zero_stage(outcomes: dict[str, Outcome]) -> None:
    outcomes["zero 1"].assert_close(outcomes["2x2x2"])


@pytest.mark.slow
def test_token_mean_with_weights_of_one_is_the_loss_of_stock_llama_factory(outcomes: dict[str, Outcome]) -> None:
    stock = outcomes["stock"]
    assert stock.curves.height == 6
    stock.weights.pop("lm_head.weight", None)  # stock writes the tied head twice
    outcomes["mean of ones"].assert_close(stock)


@pytest.mark.slow
def test_a_row_of_weight_zero_has_no_influence(outcomes: dict[str, Outcome]) -> None:
    outcomes["other words of weight 0"].assert_close(outcomes["1x8x1"])


@pytest.mark.slow
@pytest.mark.parametrize("normalizer", ["constant", "token_mean"])
def test_a_weight_of_two_is_the_row_twice_and_of_zero_the_row_not_there(
    outcomes: dict[str, Outcome], normalizer: str
) -> None:
    outcomes[f"double {normalizer}"].assert_close(outcomes[f"twice {normalizer}"])
    outcomes[f"and nothing {normalizer}"].assert_close(outcomes[f"twice {normalizer}"])


@pytest.mark.slow
def test_first_logged_loss_is_the_method_s_own(outcomes: dict[str, Outcome], tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    nll, lengths = [], []
    for row in make_rows(tiny_model, [1.0], 7) + make_rows(tiny_model, [1.0], 1):
        ids, trained_from = torch.tensor(row.example.ids), row.example.trained_from
        logps = model(ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        nll.append(-logps[trained_from - 1 :].sum().item())
        lengths.append(len(ids) - trained_from)
    # constant: sum_i nll_i / (C B), C = sum_i len_i / 8; token_mean: sum_i nll_i / sum_i len_i. The same in one batch.
    for name in ("twice constant", "twice token_mean", "double constant"):
        assert outcomes[name].curves["loss"][0] == pytest.approx(sum(nll) / sum(lengths), rel=1e-5)


@pytest.mark.slow
def test_bf16_keeps_master_weights_and_writes_bf16(outcomes: dict[str, Outcome]) -> None:
    import torch

    half, full = outcomes["bf16"], outcomes["1x8x1"]
    assert {tensor.dtype for tensor in half.weights.values()} == {torch.bfloat16}
    assert half.curves["loss"].to_list() == pytest.approx(full.curves["loss"].to_list(), rel=1e-2)


@pytest.mark.slow
def test_a_training_that_diverges_ends_at_once_and_says_at_which_step(trained: Path) -> None:
    said = (trained / "diverges" / "end").read_text()
    assert re.fullmatch(r"step [2-5]: the training has diverged: loss .*, gradient norm (nan|inf)", said)
    assert not (trained / "diverges" / "run" / "trainer_state.json").exists()


# Whole trainings, in processes of their own


@pytest.fixture(scope="module")
def resumed(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, trainer.Training]:
    """A training whose stage was killed in the middle and then run again: the model and what came back."""
    root = tmp_path_factory.mktemp("resumed")
    return root / "models" / "final", kill_and_resume(tiny_models["text"], root, {"checkpoint_minutes": 0.02})


@pytest.mark.slow
def test_a_run_killed_in_the_middle_ends_where_an_unbroken_one_does(
    resumed: tuple[Path, trainer.Training], outcomes: dict[str, Outcome]
) -> None:
    import torch

    out, result = resumed
    whole = outcomes["unbroken"]
    torch.testing.assert_close(load_weights(out), whole.weights, rtol=1e-4, atol=1e-5)
    assert result.curves["step"].to_list() == whole.curves["step"].to_list() == list(range(1, 3 * LONG + 1))
    assert result.curves["learning_rate"].to_list() == whole.curves["learning_rate"].to_list()
    assert result.curves["loss"][-1] == pytest.approx(whole.curves["loss"][-1], rel=1e-4)
    assert result.curves["loss"][-1] < result.curves["loss"][0] / 2


@pytest.mark.slow
def test_trained_model_is_a_model_directory_and_nothing_else(
    resumed: tuple[Path, trainer.Training], tiny_models: dict[str, Path]
) -> None:
    import torch

    (out, _), base = resumed, tiny_models["text"]
    names = sorted(path.name for path in base.iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        if name not in ("model.safetensors", "generation_config.json"):  # test_publish.py
            assert json.loads((out / name).read_text()) == json.loads((base / name).read_text()), name
    before, after = load_weights(base), load_weights(out)
    assert before.keys() == after.keys()
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert [path.name for path in out.parent.iterdir()] == ["final"]
    assert not list((out.parents[1] / "work").glob("*/*/"))


@pytest.mark.slow
def test_trained_model_has_learned_its_rows_and_where_they_end(
    resumed: tuple[Path, trainer.Training], tiny_models: dict[str, Path]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer, model = load_tokenizer(resumed[0]), AutoModelForCausalLM.from_pretrained(resumed[0])
    assert len(encode(tokenizer, markers.END_THOUGHT)) > 1
    row = make_rows(tiny_models["text"], WEIGHTS)[8].example  # of weight 2
    logits = model(torch.tensor([row.ids])).logits[0]
    learned = decode(tokenizer, logits[row.trained_from - 1 : -1].argmax(-1).tolist())
    assert re.search(
        r"<\|end_of_thought\|>\n\n<\|begin_of_solution\|>\n\n\d+\n\n<\|end_of_solution\|><\|im_end\|>$", learned
    )
    # Given all but the end marker and the turn's end, stock generation writes both and stops.
    before_end = torch.tensor([row.ids[: row.answer[1] - 1]]) if row.answer else None
    written = model.generate(before_end, attention_mask=torch.ones_like(before_end), max_new_tokens=50)[0]
    assert written[-1] == tokenizer.eos_token_id
    assert len(written) <= len(row.ids) + 5


@pytest.mark.slow
def test_two_ranks_under_zero_3_train_the_same_model(
    outcomes: dict[str, Outcome], tiny_model: Path, tmp_path: Path
) -> None:
    result = run_train(tiny_model, tmp_path, {"epochs": 2}, train_ranks=2, train_micro_batch=2, zero_stage=3)
    Outcome(result.curves, load_weights(tmp_path / "models" / "final")).assert_close(outcomes["1x8x1"])
