"""Training sets: what LLaMA-Factory reads back, what of it is trained on, and what the statistics say."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vr.engines.training import training_set
from vr.renderers.example import Example
from vr.renderers.training_rows import WeightedExample

save = partial(training_set.save, vocabulary=1000)


def saved(rows: Sequence[WeightedExample], folder: Path, cutoff_len: int = 512, multiple_of: int = 1) -> list[Any]:
    """What LLaMA-Factory reads back, and the statistics in front."""
    from datasets import load_from_disk

    stats = save(rows, folder / "rows", cutoff_len=cutoff_len, multiple_of=multiple_of)
    return [stats, *load_from_disk(str(folder / "rows"))["train"]]


def row(prompt_tokens: int, response_tokens: int, weight: float = 1.0) -> WeightedExample:
    total = prompt_tokens + response_tokens
    return WeightedExample(Example(list(range(1, total + 1)), prompt_tokens, (prompt_tokens, total)), weight)


def test_normalizer_is_the_weighted_mean_response_length(tmp_path: Path) -> None:
    stats, *rows = saved([row(2, 3, 0.5), row(1, 7, 1.5), row(4, 100, 0.0)], tmp_path, multiple_of=2)
    # (0.5 * 3 + 1.5 * 7 + 0 * 100) / (0.5 + 1.5 + 0) = 12 / 2
    assert stats.normalizer_tokens == 6
    assert stats.weight_mean == pytest.approx(2 / 3)
    assert (stats.rows, stats.padding_rows, stats.rows_truncated) == (3, 1, 0)
    assert (stats.response_tokens, stats.longest_row_tokens) == (110, 104)
    assert rows[0] == {"input_ids": [1, 2, 3, 4, 5], "trained_from": 2, "weight": 0.5}
    assert rows[3] == {"input_ids": [1], "trained_from": 1, "weight": 0.0}


def test_a_row_of_weight_two_counts_as_the_row_twice_and_one_of_weight_zero_not_at_all(tmp_path: Path) -> None:
    twice = save([row(2, 3), row(2, 3), row(1, 9)], tmp_path / "1", cutoff_len=99, multiple_of=1)
    double = save([row(2, 3, 2), row(1, 9), row(1, 50, 0)], tmp_path / "2", cutoff_len=99, multiple_of=1)
    assert twice.normalizer_tokens == double.normalizer_tokens == 5
    assert twice.weight_mean * twice.rows == double.weight_mean * double.rows == 3


def test_long_rows_are_cut_at_their_end_and_counted(tmp_path: Path) -> None:
    stats, first, second, third = saved([row(2, 8), row(2, 4), row(9, 3)], tmp_path, cutoff_len=6)
    assert [len(found["input_ids"]) for found in (first, second, third)] == [6, 6, 6]
    assert first["trained_from"] == second["trained_from"] == 2
    assert third["trained_from"] == 6  # the cut took its whole response
    assert (stats.rows_truncated, stats.response_tokens) == (2, 8)
    assert stats.normalizer_tokens == pytest.approx(8 / 3)


def test_padding_makes_whole_batches(tmp_path: Path) -> None:
    for number, padding in [(1, 3), (4, 0), (5, 3)]:
        stats = save([row(1, 1)] * number, tmp_path / str(number), cutoff_len=9, multiple_of=4)
        assert (stats.padding_rows, stats.weight_mean, stats.normalizer_tokens) == (padding, 1, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([row(1, 1, 0.0)], "the weights sum to 0"),
        ([row(9, 1)], "0 response tokens are left within cutoff_len = 5"),
        ([row(1, 1, -1.0)], "weight -1.0"),
        ([row(1, 1, float("nan"))], "weight nan"),
        ([row(1, 1), row(1, 1, float("inf"))], "row 1 to train on: weight inf"),
        ([row(1, 1), row(900, 100)], "row 1 to train on: token id 1000, but the model has 1000"),
        (
            [row(1, 1), WeightedExample(Example([1, -1, 2], 1, (1, 2)), 1.0)],
            "row 1 to train on: token id -1",
        ),
    ],
)
def test_a_set_without_anything_to_learn_is_an_error(rows: list[WeightedExample], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        save(rows, tmp_path / "rows", cutoff_len=5, multiple_of=4)
    assert not list(tmp_path.iterdir())


def test_a_row_is_never_trained_on_its_first_token(tmp_path: Path) -> None:
    stats, first = saved([row(0, 3)], tmp_path)
    assert (first["trained_from"], stats.response_tokens) == (1, 2)


def test_rows_stream_to_disk_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_set, "_FLUSH_TOKENS", 10)
    written: list[int] = []

    def rows() -> Any:
        for number in range(50):
            written.append(sum(path.stat().st_size for path in tmp_path.rglob("*.arrow")))
            yield row(1, 9, number + 1)

    stats, *back = saved(rows(), tmp_path)  # type: ignore[arg-type]
    assert stats.rows == 50
    assert [found["weight"] for found in back] == list(range(1, 51))
    assert back[7]["input_ids"] == list(range(1, 11))
    assert written[-1] > written[10] > written[1]


def test_equal_sets_have_equal_files_and_others_other_ones(tmp_path: Path) -> None:
    sets = {"a": [row(2, 3), row(1, 2)], "b": [row(2, 3), row(1, 2)], "c": [row(3, 2), row(1, 2)]}
    for name, rows in sets.items():
        save(rows, tmp_path / name, cutoff_len=9, multiple_of=1)
    files = {name: training_set.data_file(tmp_path / name).read_bytes() for name in sets}
    assert files["a"] == files["b"] != files["c"]


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "Error writing bytes to file")

    monkeypatch.setattr(training_set._Writer, "_flush", full)
    with pytest.raises(OSError, match=r"rows: cannot be written: .*Error writing bytes"):
        save([row(1, 1)], tmp_path / "rows", cutoff_len=9, multiple_of=1)
    assert not list(tmp_path.iterdir())


def test_saving_does_not_import_torch_or_datasets() -> None:
    import subprocess
    import sys

    program = "import sys; import vr.engines.training.trainer; sys.exit(bool({'torch', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
