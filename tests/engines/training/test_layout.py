"""Layouts reach the global batch exactly, or there is an error with the numbers."""

from pathlib import Path

import pytest

from vr.engines.training.layout import has_bf16, lay_out, most_rows
from vr.settings.machine import Machine


def laid_out(batch: int, gpus: int = 0, cores: int = 1, **machine: int) -> tuple[int, int, int]:
    layout = lay_out(batch, Machine(**machine), gpus, cores)
    assert layout.batch == batch
    return layout.ranks, layout.micro_batch, layout.accumulation


def test_layout_reaches_the_batch_exactly() -> None:
    assert laid_out(32) == (1, 32, 1)
    assert laid_out(96) == (1, 48, 2)  # the largest divisor of 96 that is at most 64
    assert laid_out(67) == (1, 1, 67)
    assert laid_out(96, train_ranks=2) == (2, 48, 1)
    assert laid_out(96, train_ranks=2, train_micro_batch=4) == (2, 4, 12)
    assert laid_out(96, gpus=8) == (8, 1, 12)
    assert laid_out(96, gpus=8, train_ranks=4, train_micro_batch=3) == (4, 3, 8)


def test_cpu_ranks_are_as_many_as_the_cores_if_they_divide_the_batch_and_have_sixteen_rows_each() -> None:
    assert laid_out(32, cores=2) == (2, 16, 1)
    assert laid_out(64, cores=8) == (4, 16, 1)
    assert laid_out(34, cores=8) == (2, 17, 1)
    assert laid_out(33, cores=8) == (1, 33, 1)
    assert laid_out(16, cores=2) == (1, 16, 1)
    assert laid_out(4, cores=2) == (1, 4, 1)
    assert laid_out(96, cores=2, train_ranks=1) == (1, 48, 2)
    assert laid_out(96, gpus=4, cores=64) == (4, 1, 24)


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
        lay_out(batch, Machine(**machine), 0, 1)


def test_large_model_takes_as_many_rows_at_once_on_a_cpu_as_fit_in_2048_tokens() -> None:
    assert [most_rows(100 << 20, cutoff_len) for cutoff_len in (100, 512, 1024, 2049)] == [20, 4, 2, 1]
    assert most_rows(16 << 20, cutoff_len=2049) == 64  # the size of the miniature at most: its rows are small
    assert lay_out(32, Machine(), 0, 2, most_rows=3).micro_batch == 2  # 16 rows a rank: 3 does not divide them
    assert lay_out(32, Machine(train_micro_batch=8), 0, 2, most_rows=3).micro_batch == 8


def test_more_ranks_than_gpus_is_an_error() -> None:
    with pytest.raises(ValueError, match="train_ranks = 4: this machine has 2 GPUs"):
        lay_out(8, Machine(train_ranks=4), 2, 1)


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu sse avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu sse avx512f avx512_vnni", False),
        ("flags\t\t: fpu sse avx2 f16c", False),
    ],
)
def test_a_processor_has_bf16_if_it_says_so(tmp_path: Path, line: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n{line}\n")
    assert has_bf16(tmp_path / "cpuinfo") is has
