"""Hand-made rows in the hub's layouts, and the real rows where they lie beside the repository.

Questions of GPQA and LiveCodeBench are made up: none of theirs may stand here.
"""

import base64
import csv
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from vr.settings.params import HubBenchmark

REAL = Path(__file__).parents[3].parent / "shared" / "realdata"
needs_real_rows = pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real rows is not beside the repository")

LINKS = {
    "qq8933/MATH500/test.jsonl": "math500/test.jsonl",
    "AI-MO/aimo-validation-aime/data/train-00000-of-00001.jsonl": "aime24/hub_AI-MO_aimo-validation-aime_2024.jsonl",
    "zhouxiangxin/AIME2025/train-00000-of-00002.jsonl": "aime25/hub_opencompass_AIME2025-I.jsonl",
    "zhouxiangxin/AIME2025/train-00001-of-00002.jsonl": "aime25/hub_opencompass_AIME2025-II.jsonl",
    "AI-MO/aimo-validation-amc/data/train-00000-of-00001.jsonl": "amc23/hub_AI-MO_aimo-validation-amc.jsonl",
    "Hothan/OlympiadBench/OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet": (
        "olympiadbench/hub_Hothan_OE_TO_maths_en_COMP.parquet"
    ),
    "TIGER-Lab/MMLU-Pro/data/test-00000-of-00001.parquet": "mmlu_pro/hub_TIGER-Lab_MMLU-Pro_test.parquet",
    "openai/gsm8k/main/test-00000-of-00001.jsonl": "gsm8k/test.jsonl",
}
"""Where a file stands in the hub's layout, and the file of real rows that it is."""

GPQA = [
    {
        "Question": f"Made up {n}?",
        "Correct Answer": f"right {n}",
        "Incorrect Answer 1": "one",
        "Incorrect Answer 2": "two",
        "Incorrect Answer 3": "three, with a comma",
        "Record ID": f"rec{n}",
        "Explanation": "x",
    }
    for n in range(20)
]


def settings(**changes: Any) -> HubBenchmark:
    return HubBenchmark(**{"questions": "all", "size": "any", "official": False, "seed": 0} | changes)


def real_folder(root: Path) -> Path:
    """A folder in the hub's layout whose files are links to the real rows."""
    for name, target in LINKS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to((REAL / target).resolve())
    return root


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_gpqa(root: Path, rows: list[dict[str, Any]] = GPQA) -> None:
    path = root / "Idavidrein/gpqa/gpqa_diamond.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def packed(tests: Any) -> str:
    """Private tests as the set holds them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def stdin_row(question_id: str = "s1", difficulty: str = "easy", **changes: Any) -> dict[str, str]:
    """Double the number that is read."""
    row = {
        "question_title": "t",
        "question_content": "Print twice the number.",
        "platform": "atcoder",
        "question_id": question_id,
        "contest_id": "c",
        "contest_date": "2024-01-01T00:00:00",
        "starter_code": "",
        "difficulty": difficulty,
        "public_test_cases": json.dumps([{"input": "2\n", "output": "4\n", "testtype": "stdin"}]),
        "private_test_cases": packed([{"input": "5", "output": "10", "testtype": "stdin"}]),
        "metadata": "{}",
    }
    return row | changes


def functional_row(question_id: str = "f1", difficulty: str = "easy") -> dict[str, str]:
    """The sum of a list and a number; the private test stands there as plain JSON."""
    return stdin_row(
        question_id,
        difficulty,
        question_content="Add a number to the sum of a list.",
        starter_code="class Solution:\n    def total(self, a: List[int], b: int) -> int:\n        ",
        public_test_cases=json.dumps([{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]),
        private_test_cases=json.dumps([{"input": "[]\n-1", "output": "-1", "testtype": "functional"}]),
        metadata='{"func_name": "total"}',
    )


def write_livecodebench(root: Path) -> None:
    """Both files; of each difficulty one question that reads and one that is called."""
    folder = root / "livecodebench/code_generation_lite"
    levels = ("easy", "medium", "hard")
    write_jsonl(folder / "test.jsonl", [stdin_row(f"s-{level}", level) for level in levels])
    write_jsonl(folder / "test2.jsonl", [functional_row(f"f-{level}", level) for level in levels])
