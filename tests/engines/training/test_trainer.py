"""Training: the loss is the paper's whatever the layout, and a killed run ends where an unbroken one does.

Most trainings here are the worker's own `main` on the JSON that vr.training writes, in processes forked from one that
has LLaMA-Factory loaded (loading takes 10 s a process). Those through `trainer.train` start real workers.
"""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vr.engines.training import trainer, training_set
from vr.engines.training.training_set import WeightedRow
from vr.renderers import markers, renderer
from vr.renderers.renderer import Example, Renderer
from vr.settings.machine import Machine, free_port
from vr.settings.params import Train

PARAMS = Train(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32", cutoff_len=512)
TOKEN_MEAN = PARAMS.model_copy(update={"normalizer": "token_mean"})
WEIGHTS = [1.0, 0.3, 0.0, 2.0, 0.7]
LONG = 60  # epochs of 3 steps: about 4 s


def make_rows(model: Path, weights: list[float], number: int = 21, other: str = "") -> list[WeightedRow]:
    """Rows of different lengths; `other` stands in the thoughts of rows of weight 0."""
    coder = Renderer(renderer.load(model))
    rows = []
    for n in range(number):
        weight = weights[n % len(weights)]
        thought = f"{n} and {n}" * (n % 3) + (other if weight == 0 else "")
        trace, answer = coder.ended(thought, markers.END_THOUGHT), coder.ended(f"{2 * n}", markers.END_SOLUTION)
        rows.append(WeightedRow(coder.reasoner_row(f"{n} + {n}?", "Add.", trace, answer), weight))
    return rows


# --- without a process ---------------------------------------------------------------------------------------------


def test_layout_reaches_the_batch_exactly() -> None:
    def laid_out(batch: int, gpus: int = 0, **machine: int) -> tuple[int, int, int]:
        layout = trainer.lay_out(batch, Machine(**machine), gpus)
        return layout.ranks, layout.micro_batch, layout.accumulation

    assert laid_out(32) == (1, 32, 1)
    assert laid_out(96) == (1, 48, 2)  # the largest divisor of 96 that is at most 64
    assert laid_out(67) == (1, 1, 67)
    assert laid_out(96, train_ranks=2) == (2, 48, 1)
    assert laid_out(96, train_ranks=2, train_micro_batch=4) == (2, 4, 12)
    assert laid_out(96, gpus=8) == (8, 1, 12)
    assert laid_out(96, gpus=8, train_ranks=4, train_micro_batch=3) == (4, 3, 8)


@pytest.mark.parametrize(
    ("batch", "machine", "numbers"),
    [
        (10, {"train_ranks": 4}, r"10 rows .* 4 ranks"),
        (10, {"train_micro_batch": 4}, r"10 / \(1 \* 4\) = 2.5"),
        (2, {"train_ranks": 4}, r"2 / \(4 \* 1\) = 0.5"),
    ],
)
def test_batch_that_cannot_be_reached_is_an_error_with_the_numbers(
    batch: int, machine: dict[str, int], numbers: str
) -> None:
    with pytest.raises(ValueError, match=numbers):
        trainer.lay_out(batch, Machine(**machine), 0)


def test_more_ranks_than_gpus_is_an_error() -> None:
    with pytest.raises(ValueError, match="train_ranks = 4: this machine has 2 GPUs"):
        trainer.lay_out(8, Machine(train_ranks=4), 2)


def test_missing_base_model_is_named_before_any_row_is_read(tmp_path: Path) -> None:
    def rows() -> Iterator[WeightedRow]:
        pytest.fail("rows were read")
        yield

    with pytest.raises(FileNotFoundError, match="nowhere: no such model"):
        trainer.train(
            rows(),
            tmp_path / "nowhere",
            tmp_path / "out",
            params=PARAMS,
            rows_per_question=1,
            machine=Machine(),
            work_root=tmp_path / "work",
        )
    assert not list(tmp_path.iterdir())


def test_warmup_is_in_whole_steps() -> None:
    def steps(ratio: float, total: int) -> int:
        return trainer._warmup_steps(PARAMS.model_copy(update={"warmup_ratio": ratio}), total)

    assert [steps(0.1, 100), steps(0.05, 30), steps(0.0, 9), steps(1.0, 7)] == [10, 2, 0, 7]


def test_half_written_checkpoints_are_not_gone_on_from(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-11"):
        (tmp_path / name).mkdir()
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / name / "complete").touch()
    assert trainer._last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-11").exists()
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / name / "complete").unlink()
    assert trainer._last_checkpoint(tmp_path) is None
    assert not tmp_path.exists()


def test_rows_of_another_set_end_an_interrupted_run(tmp_path: Path) -> None:
    def prepare(ids: list[int]) -> None:
        row = WeightedRow(Example(ids, 1, (1, len(ids))), 1.0)
        trainer._prepare_rows([row], tmp_path, cutoff_len=9, multiple_of=2)

    prepare([1, 2, 3])
    (tmp_path / "run").mkdir()
    prepare([1, 2, 3])
    assert (tmp_path / "run").exists()
    prepare([1, 2, 4])
    assert not (tmp_path / "run").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows", "rows.sha256"]


def test_curves_and_statistics_are_written_as_csv(tmp_path: Path) -> None:
    history = [
        {"loss": 2.0, "grad_norm": 1.5, "learning_rate": 0.1, "epoch": 0.5, "step": 10},
        {"loss": 1.0, "grad_norm": 1.0, "learning_rate": 0.0, "epoch": 1.0, "step": 20},
        {"train_runtime": 3.0, "train_loss": 1.5, "epoch": 1.0, "step": 20},
    ]
    (tmp_path / "state.json").write_text(json.dumps({"log_history": history}))
    result = trainer.Training(training_set.Statistics(3, 1, 0, 9, 3.5, 1.0, 7), trainer.curves(tmp_path / "state.json"))
    result.write(tmp_path / "new" / "statistics.csv", tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text().splitlines() == [
        "step,epoch,loss,grad_norm,learning_rate",
        "10,0.5,2.0,1.5,0.1",
        "20,1.0,1.0,1.0,0.0",
    ]
    assert pl.read_csv(tmp_path / "new" / "statistics.csv")["normalizer_tokens"].to_list() == [3.5]


def test_importing_training_does_not_import_torch() -> None:
    program = "import sys; import vr.training; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_failing_worker_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    layout = trainer.lay_out(8, Machine(), 0)
    with pytest.raises(RuntimeError, match=r"(?s)exit status 1.*FileNotFoundError.*job\.json"):
        trainer._run(tmp_path / "job.json", layout, 1)


@pytest.fixture(scope="module")
def text_markers(tiny_models: dict[str, Path]) -> Path:
    """The model whose markers are several tokens."""
    return tiny_models["text"]


# --- the worker's own trainings ------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a training came to."""

    curves: pl.DataFrame
    weights: dict[str, Any]

    def assert_close(self, other: "Outcome", rtol: float = 1e-5, atol: float = 1e-5) -> None:
        """The same losses, gradient norms and resulting weights."""
        import torch

        assert self.curves["step"].to_list() == other.curves["step"].to_list()
        for column in ("loss", "grad_norm"):
            torch.testing.assert_close(
                torch.tensor(self.curves[column].to_list()),
                torch.tensor(other.curves[column].to_list()),
                rtol=rtol,
                atol=atol,
            )
        torch.testing.assert_close(self.weights, other.weights, rtol=rtol, atol=atol)


def outcome(run: Path) -> Outcome:
    return Outcome(trainer.curves(run / "trainer_state.json"), load_weights(run))


def load_weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def serve(jobs: list[tuple[dict[str, Any], int, bool]]) -> None:
    """Run jobs (the worker's JSON, ranks, whether as stock LLaMA-Factory), each rank in a forked process."""
    from vr.engines.training import worker as worker

    worker._stand_in_for_torchaudio()
    # These two only save time in every process below.
    import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    import transformers.models.qwen3.modeling_qwen3  # noqa: F401
    from llamafactory.train.tuner import run_exp

    for job, ranks, stock in jobs:
        port, children = free_port(), []
        for rank in range(ranks):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
                    os.environ |= {"LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                    if stock:
                        run_exp(job["arguments"])
                    else:
                        worker.main(job)
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        assert all(os.waitpid(child, 0)[1] == 0 for child in children), job


@pytest.fixture(scope="module")
def outcomes(tiny_model: Path, text_markers: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """All trainings that the tests below compare, by name."""
    from datasets import DatasetDict, load_from_disk

    root = tmp_path_factory.mktemp("outcomes")
    jobs = []

    def add(name: str, rows: list[WeightedRow], params: Train = PARAMS, stock: bool = False, **machine: Any) -> None:
        folder = root / name
        folder.mkdir()
        layout = trainer.lay_out(params.batch_size, Machine(**machine), 0)
        statistics = trainer._prepare_rows(rows, folder, params.cutoff_len, params.batch_size)
        base = text_markers if name == "unbroken" else tiny_model
        job = trainer._job(folder, base, params, statistics, layout, every=1000)
        if stock:  # knows no weights
            weighted_set = (folder / "rows").rename(folder / "weighted")
            plain = load_from_disk(str(weighted_set))["train"].remove_columns("weight")
            DatasetDict({"train": plain}).save_to_disk(str(folder / "rows"))
        jobs.append((json.loads(job.read_text()), layout.ranks, stock))

    weighted, even = make_rows(tiny_model, WEIGHTS), make_rows(tiny_model, [1.0])
    add("1x8x1", weighted)
    add("1x2x4", weighted, train_micro_batch=2)
    add("2x4x1", weighted, train_ranks=2)
    add("2x2x2", weighted, train_ranks=2, train_micro_batch=2)
    add("other words of weight 0", make_rows(tiny_model, WEIGHTS, other="something else"))
    add("mean 1x8x1", weighted, TOKEN_MEAN)
    add("mean 2x2x2", weighted, TOKEN_MEAN, train_ranks=2, train_micro_batch=2, zero_stage=3)
    add("mean of ones", even, TOKEN_MEAN, train_micro_batch=2)
    add("stock", even, TOKEN_MEAN, stock=True, train_micro_batch=2)
    add("bf16", weighted, PARAMS.model_copy(update={"precision": "bf16"}), train_micro_batch=2)
    add("unbroken", make_rows(text_markers, WEIGHTS), PARAMS.model_copy(update={"epochs": LONG}))
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
            settings = {"batch_size": len(rows), "epochs": 3, "normalizer": normalizer}
            add(f"{name} {normalizer}", rows, PARAMS.model_copy(update=settings))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", "cpu")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(jobs,))
        server.start()
        server.join()
    assert server.exitcode == 0
    return {path.name: outcome(path / "run") for path in root.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["1x2x4", "2x4x1", "2x2x2"])
def test_loss_and_gradients_do_not_depend_on_ranks_micro_batch_and_accumulation(
    outcomes: dict[str, Outcome], layout: str
) -> None:
    assert outcomes["1x8x1"].curves.height == 6  # 21 rows and 3 of padding, in batches of 8, twice
    outcomes[layout].assert_close(outcomes["1x8x1"])


@pytest.mark.slow
def test_token_mean_does_not_depend_on_the_layout_either(outcomes: dict[str, Outcome]) -> None:
    outcomes["mean 2x2x2"].assert_close(outcomes["mean 1x8x1"])


@pytest.mark.slow
def test_token_mean_with_weights_of_one_is_the_loss_of_stock_llama_factory(outcomes: dict[str, Outcome]) -> None:
    stock = outcomes["stock"]
    assert stock.curves.height == 6
    del stock.weights["lm_head.weight"]  # stock writes the tied head twice
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

    rows = make_rows(tiny_model, [1.0], 7) + make_rows(tiny_model, [1.0], 1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    nll, lengths = [], []
    for item in rows:
        ids = torch.tensor(item.row.ids)
        logps = model(ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        nll.append(-logps[item.row.trained_from - 1 :].sum().item())
        lengths.append(len(ids) - item.row.trained_from)
    # constant: sum_i nll_i / (C B), C = sum_i len_i / 8; token_mean: sum_i nll_i / sum_i len_i. The same in one batch.
    for name in ("twice constant", "twice token_mean", "double constant"):
        assert outcomes[name].curves["loss"][0] == pytest.approx(sum(nll) / sum(lengths), rel=1e-5)


@pytest.mark.slow
def test_bf16_keeps_master_weights_and_writes_bf16(outcomes: dict[str, Outcome]) -> None:
    import torch

    half, full = outcomes["bf16"], outcomes["1x8x1"]
    assert {tensor.dtype for tensor in half.weights.values()} == {torch.bfloat16}
    assert half.curves["loss"].to_list() == pytest.approx(full.curves["loss"].to_list(), rel=1e-2)


# --- whole trainings -----------------------------------------------------------------------------------------------


def run_train(model: Path, root: Path, epochs: int, **machine: Any) -> trainer.Training:
    return trainer.train(
        iter(make_rows(model, WEIGHTS)),
        model,
        root / "models" / "final",
        params=PARAMS.model_copy(update={"epochs": epochs, "batch_size": 4}),
        rows_per_question=2,
        machine=Machine(**machine),
        work_root=root / "work",
    )


@pytest.fixture(scope="module")
def resumed(text_markers: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, trainer.Training]:
    """A training whose stage was killed in the middle and then run again: the model and what came back."""
    import psutil

    root = tmp_path_factory.mktemp("resumed")
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
from test_training import LONG, run_train
run_train(Path({str(text_markers)!r}), Path({str(root)!r}), LONG, checkpoint_steps=7)
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
    return root / "models" / "final", run_train(text_markers, root, LONG, checkpoint_steps=7)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_ends_where_an_unbroken_one_does(
    resumed: tuple[Path, trainer.Training], outcomes: dict[str, Outcome]
) -> None:
    import torch

    out, result = resumed
    whole = outcomes["unbroken"]
    torch.testing.assert_close(load_weights(out), whole.weights, rtol=1e-4, atol=1e-5)
    assert result.curves["step"].to_list() == whole.curves["step"].to_list() == list(range(3, 3 * LONG + 1, 3))
    assert result.curves["learning_rate"].to_list() == whole.curves["learning_rate"].to_list()
    assert result.curves["loss"][-1] == pytest.approx(whole.curves["loss"][-1], rel=1e-4)
    assert result.curves["loss"][-1] < result.curves["loss"][0] / 2


@pytest.mark.slow
def test_trained_model_is_a_model_directory_and_nothing_else(
    resumed: tuple[Path, trainer.Training], text_markers: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    out, _ = resumed
    base_files = sorted(path.name for path in text_markers.iterdir())
    assert sorted(path.name for path in out.iterdir()) == base_files
    for name in base_files:
        if name != "model.safetensors":
            assert json.loads((out / name).read_text()) == json.loads((text_markers / name).read_text()), name
    before, after = load_weights(text_markers), load_weights(out)
    assert before.keys() == after.keys()
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert [path.name for path in out.parent.iterdir()] == ["final"]
    assert not list((out.parents[1] / "work").glob("*/*/"))

    # It learned its rows, the several tokens of the end markers and the stop token among them.
    coder = Renderer(renderer.load(out))
    assert len(coder.encode(markers.END_THOUGHT)) > 1
    row = make_rows(text_markers, WEIGHTS)[8].row  # of weight 2
    logits = AutoModelForCausalLM.from_pretrained(out)(torch.tensor([row.ids])).logits[0]
    learned = coder.decode(logits[row.trained_from - 1 : -1].argmax(-1).tolist())
    assert re.search(r"<\|end_of_thought\|>\n\n<\|begin_of_solution\|>\d+<\|end_of_solution\|><\|im_end\|>$", learned)


@pytest.mark.slow
def test_two_ranks_under_zero_3_train_the_same_model(
    outcomes: dict[str, Outcome], tiny_model: Path, tmp_path: Path
) -> None:
    machine = {"train_ranks": 2, "train_micro_batch": 2, "zero_stage": 3}
    result = run_train(tiny_model, tmp_path, 2, **machine)
    Outcome(result.curves, load_weights(tmp_path / "models" / "final")).assert_close(outcomes["1x8x1"])
