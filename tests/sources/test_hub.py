"""Promises of the hub's rows: which files hold a split, what is kept of them, and what is said where there are none.

The hub here is a server of the tests' own (hub_server.py).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hub_server import hub_out_of_reach, hub_with

from vr.sources import hub

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "realdata"
CARD = """---
license: mit
configs:
- config_name: plain
  data_files:
  - {split: train, path: "data/tr-*"}
  - {split: test, path: [data/te.jsonl]}
- config_name: other
  data_files: other.jsonl
---
# A set
"""

ONE = '{"q": 1}\n'
TWO = '{"q": 2}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Makes a folder of the files that are given as name=text."""

    def make(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return str(tmp_path / "set")

    return make


def rows(where: str | Path, config: str | None = None, split: str = "train", columns: Any = ("q",)) -> pl.DataFrame:
    return hub.rows(str(where), revision=None, config=config, split=split, columns=columns)


def values(where: str | Path, config: str | None = None, split: str = "train") -> list[Any]:
    return rows(where, config, split)["q"].to_list()


# Which files


def test_a_file_is_its_own_split(folder):
    where = folder({"any.jsonl": ONE + TWO})
    assert values(f"{where}/any.jsonl", config="whatever", split="test") == [1, 2]


def test_files_are_found_by_the_names_of_configuration_and_split(folder):
    where = folder(
        {
            "main/train-00000-of-00002.jsonl": ONE,
            "main/train-00001-of-00002.jsonl": TWO,
            "main/test-00000-of-00001.jsonl": '{"q": 3}',
            "socratic/train-00000-of-00001.jsonl": '{"q": 4}',
        }
    )
    assert values(where, "main") == [1, 2]
    assert values(where, "main", "test") == [3]
    assert values(where, "socratic") == [4]


def test_a_configuration_is_not_mistaken_for_one_whose_name_begins_alike(folder):
    where = folder({"aime2025-I.jsonl": ONE, "aime2025-II.jsonl": TWO})
    assert values(where, "AIME2025-I", "test") == [1]
    assert values(where, "AIME2025-II", "test") == [2]


def test_files_in_a_folder_without_the_configuration_s_own_are_taken_by_their_split(folder):
    where = folder({"train.jsonl": ONE, "test.jsonl": TWO, "dataset_infos.json": "{}", ".cache/train.jsonl": TWO})
    assert values(where, "main") == [1]


def test_numbered_files_of_a_split_are_found(folder):
    where = folder({"test.jsonl": ONE, "test2.jsonl": TWO, "contest.jsonl": '{"q": 3}'})
    assert values(where, split="test") == [1, 2]


def test_the_card_has_the_last_word_on_which_files_hold_a_split(folder):
    where = folder({"README.md": CARD, "data/tr-1.jsonl": ONE, "data/te.jsonl": TWO, "other.jsonl": '{"q": 3}'})
    assert values(where, "plain") == [1]
    assert values(where, "plain", "test") == [2]
    assert values(where, "other") == [3]
    with pytest.raises(FileNotFoundError, match=r"no file holds split test of other; it has README.md, data/te.jsonl"):
        values(where, "other", "test")


def test_files_of_two_kinds_would_be_the_rows_twice_and_are_refused(folder):
    where = folder({"train.jsonl": ONE, "train.csv": "q\n1\n"})
    with pytest.raises(ValueError, match=r"split train stands in \.csv and \.jsonl files: keep one kind"):
        values(where)


# What is kept of them


def test_every_kind_of_file_gives_the_wanted_columns_alone(tmp_path):
    table = pl.DataFrame({"b": ["x", None], "a": [1, 2], "c": [[1], []]})
    table.write_parquet(tmp_path / "t.parquet")
    table.write_ndjson(tmp_path / "t.jsonl")
    (tmp_path / "t.json").write_text(json.dumps(table.to_dicts()))
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_stream(file, table.to_arrow().schema) as out:
        out.write_table(table.to_arrow())
    for kind in ("parquet", "jsonl", "json", "arrow"):
        read = rows(tmp_path / f"t.{kind}", columns=("a", "b"))
        assert read.to_dict(as_series=False) == {"a": [1, 2], "b": ["x", None]}, kind


def test_json_on_lines_and_as_a_list_are_told_apart_by_their_content(folder):
    where = folder({"train.json": ONE + TWO, "test.jsonl": '[{"q": 1},\n{"q": 2}]'})
    assert values(where) == values(where, split="test") == [1, 2]


def test_csv_is_text_so_that_a_leading_zero_stays(folder):
    assert values(folder({"train.csv": 'q,z\n073,1\n"two\nlines",2\n'})) == ["073", "two\nlines"]


def test_a_key_that_some_lines_lack_is_null_there(folder):
    assert values(folder({"train.jsonl": ONE + '{"z": 1}\n\n' + TWO})) == [1, None, 2]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"train.jsonl": '{"z": 1}'}, r"train\.jsonl: column 'q' is missing \(there are: z\)$"),
        ({"train.csv": "z\n1\n"}, r"train\.csv: column 'q' is missing \(there are: z\)$"),
        ({"train.jsonl": ONE + "{"}, r"train\.jsonl: line 2 is not JSON"),
        ({"train.jsonl": "1"}, r"row 1 should be an object"),
        ({"train.json": "[{}, 1]"}, r"row 2 should be an object"),
        ({"train.jsonl": '{"q": 1}\n{"q": "a"}'}, r"column 'q' holds values of several types"),
        ({"train.jsonl": ""}, r"no rows$"),
        ({"train.json": '[{"q": 1}'}, r"train\.json: Expecting"),
        ({"train.parquet": "no such thing"}, r"train\.parquet: .*parquet"),
        ({"train.parquet": "version https://git-lfs\n"}, r"pointer to the file: .*`git lfs pull`"),
        ({"README.md": "---\nconfigs: [{data_files: 1}]\n---\n", "train.jsonl": ONE}, r"README\.md: "),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(folder, files, says):
    with pytest.raises(ValueError, match=says) as raised:
        values(folder(files))
    assert "\n" not in str(raised.value)


def test_a_column_that_a_parquet_file_lacks_is_named(tmp_path):
    pl.DataFrame({"z": [1]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet: column 'q' is missing \(there are: z\)$"):
        values(tmp_path / "t.parquet")


@pytest.mark.parametrize("where", ["./nowhere", "../nowhere", "~/set", "nowhere.jsonl", "a/b/c", "/nowhere/at/all"])
def test_a_place_that_is_not_there_is_not_looked_for_on_the_hub(where):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder$"):
        values(where)


def test_files_are_given_by_name_and_a_missing_one_is_named(folder):
    where = folder({"test.jsonl": ONE})
    assert hub.files(where, None, ["test.jsonl"]) == [Path(where, "test.jsonl")]
    with pytest.raises(FileNotFoundError, match=r"no file test2\.jsonl; it has test\.jsonl$"):
        hub.files(where, None, ["test.jsonl", "test2.jsonl"])


# The hub


SETS = {
    "o/open": {"README.md": CARD.encode(), "data/tr-1.jsonl": ONE.encode(), "data/te.jsonl": TWO.encode()},
    "o/gated": (401, "GatedRepo"),
    "o/none": (404, "RepoNotFound"),
    "o/revised": (404, "RevisionNotFound"),
    "o/broken": (403, ""),
}


@pytest.fixture
def the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_with(SETS, tmp_path / "cache", monkeypatch):
        yield


@pytest.mark.usefixtures("the_hub")
def test_a_set_on_the_hub_is_read_as_a_folder_is():
    assert values("o/open", "plain") == [1]
    assert values("o/open", "plain", "test") == [2]
    assert [path.read_text() for path in hub.files("o/open", None, ["data/te.jsonl"])] == [TWO]


@pytest.mark.usefixtures("the_hub")
@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("o/gated", "the set is gated: accept its terms on its page on the hub, then log in here with `hf auth login`"),
        ("o/none", "no such folder here, and no such set on the hub (a private one needs `hf auth login`)"),
        ("o/revised", "the set on the hub has no such revision"),
        ("o/broken", "the hub answers 403: try again later"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(where, says):
    with pytest.raises(FileNotFoundError) as raised:
        hub.rows(where, revision="v1", split="train", columns=("q",))
    assert str(raised.value) == f"{where} at v1: {says}"


def test_a_hub_out_of_reach_is_said_at_once(monkeypatch):
    hub_out_of_reach(monkeypatch)
    with pytest.raises(FileNotFoundError) as raised:
        values("o/open")
    says = "no such folder here, and the hub cannot be reached (ConnectError): name a local copy"
    assert str(raised.value) == f"o/open: {says}"


# Real rows


@pytest.mark.skipif(not REAL.is_dir(), reason="no real rows beside the repository (../shared/realdata)")
@pytest.mark.parametrize(
    ("where", "split", "columns", "n"),
    [
        ("gsm8k", "train", ("question", "answer"), 7473),
        ("gsm8k", "test", ("question", "answer"), 1319),
        ("math500", "test", ("problem", "solution", "answer", "unique_id"), 500),
        ("mmlu_pro", "test", ("question", "options", "answer_index"), 12032),
        ("olympiadbench/hub_Hothan_OE_TO_maths_en_COMP.parquet", "train", ("question", "final_answer", "error"), 675),
        ("bespoke_stratos", "train", ("system", "conversations"), 1),
        ("aime25/hub_opencompass_AIME2025-I.jsonl", "test", ("question", "answer"), 15),
    ],
)
def test_the_real_rows_are_read(where, split, columns, n):
    assert rows(REAL / where, split=split, columns=columns).height == n
