"""The trained model is the paper's whatever the layout: real trainings of the worker, compared with one another.

They run in processes forked from one that has LLaMA-Factory loaded, which takes seconds a process.
"""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_models import ROOT
from trainings import LONG, WEIGHTS, Outcome, load_weights, make_rows, params, run_train

from vr.engines.training import job, trainer
from vr.engines.training.layout import lay_out
from vr.renderers import markers
from vr.renderers.tokenizer import decode, encode, load_tokenizer
from vr.renderers.training_rows import WeightedExample
from vr.settings.machine import Machine, free_port
from vr.settings.params import Train

PARAMS = params()
TOKEN_MEAN = params(normalizer="token_mean")
LAYOUTS = ["1x2x4", "2x4x1", "2x2x2"]  # ranks, rows at once, accumulation steps
RESUMED = {"train_ranks": 2, "train_micro_batch": 2}  # the layout of the run that is killed
AT_ONCE = 2  # processes


@dataclass(frozen=True)
class Job:
    """One training, for `serve`."""

    content: dict[str, Any]
    """the worker's JSON"""
    ranks: int
    stock: bool
    """as LLaMA-Factory does it without this project"""


def serve(jobs: list[Job]) -> None:
    """Run jobs, `AT_ONCE` ranks at the same time, each in a forked process."""
    from vr.engines.training import worker

    worker.prepare_imports()
    # Only to save time in every process below.
    import transformers.models.qwen3.modeling_qwen3  # noqa: F401
    from llamafactory.train.tuner import run_exp

    running: set[int] = set()
    for item in sorted(jobs, key=lambda item: item.ranks):
        while len(running) + item.ranks > AT_ONCE:
            wait_for_one(running)
        port = free_port()
        for rank in range(item.ranks):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(item.ranks)}
                    os.environ |= {"LOCAL_WORLD_SIZE": str(item.ranks)}
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                    if item.stock:
                        run_exp(item.content["arguments"])
                    else:
                        worker.main(item.content)
                    status = 0
                except SystemExit as end:
                    Path(item.content["arguments"]["output_dir"]).with_name("end").write_text(str(end))
                    status = 0
                finally:
                    os._exit(status)
            running.add(child)
    while running:
        wait_for_one(running)


def wait_for_one(running: set[int]) -> None:
    child, status = os.wait()
    assert status == 0
    running.remove(child)


def with_labels(weighted_set: Path, plain_set: Path) -> None:
    """The set as stock LLaMA-Factory wants it: it knows no weights."""
    from datasets import DatasetDict, load_from_disk

    def columns(row: dict[str, Any]) -> dict[str, Any]:
        ids, start = row["input_ids"], row["trained_from"]
        return {"attention_mask": [1] * len(ids), "labels": [-100] * start + ids[start:]}

    rows = load_from_disk(str(weighted_set))["train"]
    DatasetDict({"train": rows.map(columns).select_columns(["input_ids", "attention_mask", "labels"])}).save_to_disk(
        str(plain_set)
    )


@pytest.fixture(scope="module")
def trained(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings that the tests below look at: a folder for each, by its name."""
    tiny_model, root = tiny_models["special"], tmp_path_factory.mktemp("outcomes")
    jobs = []

    def add(
        name: str, rows: list[WeightedExample], settings: Train = PARAMS, stock: bool = False, **machine: Any
    ) -> None:
        folder = root / name
        folder.mkdir()
        layout = lay_out(settings.batch_size, Machine(**machine), 0, 1)
        stats = trainer._prepare_rows(
            rows, folder, cutoff_len=settings.cutoff_len, multiple_of=settings.batch_size, vocabulary=400
        )
        base = tiny_models["text"] if name == "unbroken" else tiny_model
        path = job.write(folder, base, settings, stats, layout, save_steps=1000)
        if stock:
            with_labels((folder / "rows").rename(folder / "weighted"), folder / "rows")
        jobs.append(Job(json.loads(path.read_text()), layout.ranks, stock))

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

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", "cpu")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(jobs,))
        server.start()
        server.join()
    assert server.exitcode == 0
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
    import psutil

    root = tmp_path_factory.mktemp("resumed")
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)]!r}
from pathlib import Path
from trainings import LONG, run_train
run_train(Path({str(tiny_models["text"])!r}), Path({str(root)!r}), LONG, checkpoint_steps=7, **{RESUMED!r})
"""
    with subprocess.Popen([sys.executable, "-c", program]) as stage:
        while not list((root / "work").glob("*/*/run/checkpoint-*/complete")):
            assert stage.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.01)
        workers = psutil.Process(stage.pid).children(recursive=True)
        os.kill(stage.pid, signal.SIGKILL)
    # Nothing is left that could write into the folder beside the next run.
    assert workers and not psutil.wait_procs(workers, timeout=20)[1]
    assert not (root / "models").exists()
    assert not list((root / "work").glob("*/*/run/trainer_state.json")), "it was not killed in the middle"
    return root / "models" / "final", run_train(tiny_models["text"], root, LONG, checkpoint_steps=7, **RESUMED)


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
    result = run_train(tiny_model, tmp_path, 2, train_ranks=2, train_micro_batch=2, zero_stage=3)
    Outcome(result.curves, load_weights(tmp_path / "models" / "final")).assert_close(outcomes["1x8x1"])
