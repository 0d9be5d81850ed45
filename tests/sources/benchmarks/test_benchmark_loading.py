"""Published sets become tables: counted, drawn, and named where something is missing."""

import logging

import pytest
from benchmark_sets import GPQA, settings, write_gpqa, write_jsonl, write_livecodebench
from ruamel.yaml import YAML
from tiny_models import ROOT

from vr.settings import params
from vr.sources import benchmarks, hub
from vr.sources.benchmarks import CATALOGUE
from vr.sources.benchmarks.entry import QUESTION

AMC = [
    {"id": 0, "problem": "1+1?", "answer": 2.0, "url": "https://a/2022_AMC_12A_Problems/Problem_1"},
    {"id": 43, "problem": "3*9?", "answer": 27.0, "url": "https://a/2023_AMC_12A_Problems/Problem_1"},
    {"id": 44, "problem": "-1?", "answer": -1.0, "url": "https://a/2023_AMC_12A_Problems/Problem_2"},
]


@pytest.fixture
def amc(tmp_path):
    write_jsonl(tmp_path / "AI-MO/aimo-validation-amc/data/train-00000-of-00001.jsonl", AMC)
    return str(tmp_path)


def test_published_sizes_and_numbers_of_answers_are_the_papers():
    # arXiv 2509.22637, App. D
    sizes = {name: entry.size for name, entry in CATALOGUE.items()}
    assert sizes == {
        "math500": 500, "aime24": 30, "aime25": 30, "amc23": 40, "olympiadbench": 674, "gpqa_diamond": 198,
        "livecodebench_easy": 182, "livecodebench_medium": 206, "livecodebench_hard": 123, "mmlu_pro": 12_032,
        "gsm8k": 1319,
    }  # fmt: skip
    assert {name for name, entry in CATALOGUE.items() if entry.n == 32} == {"aime24", "aime25", "amc23"}
    assert {name for name, entry in CATALOGUE.items() if entry.n == 2} == {"math500", "olympiadbench"}


@pytest.mark.parametrize("recipe", sorted((ROOT / "vr" / "recipes").glob("qwen*.yaml")), ids=lambda path: path.stem)
def test_the_papers_recipes_draw_as_many_answers_as_the_paper_and_take_no_other_size(recipe):
    document = YAML(typ="safe", pure=True).load(recipe.read_text())
    names = document["evaluate"]["benchmarks"]
    assert document["evaluate"]["samples"] == {name: CATALOGUE[name].n for name in names}
    entries = [document["benchmark"][name] for name in names]
    assert {(entry["questions"], entry["size"]) for entry in entries} == {("all", "published")}


def test_every_prompt_has_one_place_for_the_question_and_only_aime25_asks_for_the_box_behind_it():
    assert all(entry.prompt.count(QUESTION) == 1 for entry in CATALOGUE.values())
    assert [name for name, entry in CATALOGUE.items() if not entry.prompt.endswith(QUESTION)] == ["aime25"]


def test_only_rows_of_the_wanted_year_are_questions(amc):
    table = benchmarks.load("amc23", settings(), amc)
    assert table["problem_id"].to_list() == ["amc23/43", "amc23/44"]
    assert table["question"][0] == "Return your final response within \\boxed{}. 3*9?"
    assert table["reference"].to_list() == ["27", "-1"]
    assert table["source"].unique().to_list() == ["amc23"]


def test_another_size_than_the_published_one_is_an_error_with_both_numbers(amc):
    with pytest.raises(ValueError, match=r"^benchmark.amc23: 2 questions in AI-MO/.*, 40 were published .size: any"):
        benchmarks.load("amc23", settings(size="published"), amc)


def test_the_seed_draws_some_questions_in_the_sets_order(tmp_path):
    write_gpqa(tmp_path)
    drawn = [
        benchmarks.load("gpqa_diamond", settings(questions=5, seed=seed), str(tmp_path))["problem_id"].to_list()
        for seed in (0, 0, 1)
    ]
    order = [f"gpqa_diamond/{row['Record ID']}" for row in GPQA]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == [name for name in order if name in drawn[0]]


def test_more_questions_than_there_are_is_an_error_with_both_numbers(amc):
    with pytest.raises(ValueError, match=r"benchmark\.amc23\.questions = 3: it has only 2"):
        benchmarks.load("amc23", settings(questions=3), amc)


def test_a_missing_folder_is_named_before_the_hub_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "rows", lambda *_a, **_k: pytest.fail("asked"))
    with pytest.raises(
        FileNotFoundError, match=r"benchmark_folder: benchmark\.math500 needs the folder .*qq8933/MATH500"
    ):
        benchmarks.load("math500", settings(), str(tmp_path))


def test_a_folder_without_the_file_is_named(tmp_path):
    (tmp_path / "livecodebench/code_generation_lite").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no file test\.jsonl"):
        benchmarks.load("livecodebench_easy", settings(), str(tmp_path))


def test_a_missing_column_is_named(tmp_path):
    write_jsonl(tmp_path / "qq8933/MATH500/test.jsonl", [{"problem": "1?", "answer": "1", "unique_id": "a"}])
    with pytest.raises(ValueError, match="column 'solution' is missing"):
        benchmarks.load("math500", settings(), str(tmp_path))


def test_a_missing_column_of_livecodebench_is_named_with_its_line(tmp_path):
    write_livecodebench(tmp_path)
    with (tmp_path / "livecodebench/code_generation_lite/test2.jsonl").open("a") as file:
        file.write('{"question_id": "x"}\n')
    with pytest.raises(ValueError, match=r"test2\.jsonl: line 4: column 'difficulty' is missing"):
        benchmarks.load("livecodebench_hard", settings(), str(tmp_path))


@pytest.mark.parametrize("name", ["math5000", "gym", "miniature"])
def test_an_unknown_benchmark_is_refused_with_the_known_names(name):
    with pytest.raises(ValueError, match=rf"benchmark.{name}: no such benchmark \(there are: math500, aime24, .*gym_"):
        benchmarks.require_source(name)


def test_generators_of_reasoning_gym_and_the_miniature_are_benchmarks_too():
    sums = params.GymBenchmark(generator="chain_sum", split="dev", questions=2, seed=1, config={})
    assert benchmarks.load("gym_any_label", sums, None)["source"].to_list() == ["gym_chain_sum"] * 2
    mini = benchmarks.load("miniature_dev", params.MiniatureBenchmark(questions=3, programs=0.0, seed=0), None)
    assert mini.height == 3


def test_the_hub_is_asked_for_the_pinned_commit_and_the_needed_columns_alone(monkeypatch):
    asked = {}

    def rows(where, **named):
        asked.update(named, where=where)
        raise FileNotFoundError("Idavidrein/gpqa: the set is gated: ... `hf auth login`")

    monkeypatch.setattr(hub, "rows", rows)
    with pytest.raises(FileNotFoundError, match="hf auth login"):
        benchmarks.load("gpqa_diamond", settings(), None)
    assert asked["where"] == "Idavidrein/gpqa"
    assert asked["revision"].startswith("633f5ee8")
    assert asked["config"] == "gpqa_diamond"
    assert set(asked["columns"]) == {
        "Record ID",
        "Question",
        "Correct Answer",
        *(f"Incorrect Answer {n}" for n in "123"),
    }


def test_log_lines_hold_the_licence_and_no_question(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    write_gpqa(tmp_path)
    benchmarks.load("gpqa_diamond", settings(), str(tmp_path))
    assert "20 of the 20 questions of Idavidrein/gpqa; licence: CC-BY-4.0" in caplog.text
    assert "Made up" not in caplog.text


HEAD = "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,Record ID\n"


@pytest.mark.parametrize(
    "lines",
    [
        'Secret,"a,b,c,d,e\n',
        '"Secret"x,a,b,c,d,e\n',
        "Secret,a,b,c,d,e,f,g\n",
        "Secret,a\n",
        "Secret,a,b,,d,r1\n",
        ",Secret,b,c,d,r1\n",
        "Secret,a,b,c,d,e\nSecret,a,b,c,d,e\n",
        "",
    ],
)
def test_a_damaged_set_of_gpqa_is_one_line_without_a_question_in_it(tmp_path, lines):
    path = tmp_path / "Idavidrein/gpqa/gpqa_diamond.csv"
    path.parent.mkdir(parents=True)
    path.write_text(HEAD + lines)
    with pytest.raises(ValueError) as error:
        benchmarks.load("gpqa_diamond", settings(), str(tmp_path))
    assert "gpqa" in str(error.value)
    assert "Secret" not in str(error.value)


def test_a_row_without_a_value_is_named_with_the_column(tmp_path):
    write_jsonl(tmp_path / "zhouxiangxin/AIME2025/train.jsonl", [{"question": "q", "answer": None}])
    with pytest.raises(ValueError, match="aime25/0: no value in the column 'answer'"):
        benchmarks.load("aime25", settings(), str(tmp_path))


def test_a_set_that_the_hub_does_not_give_is_named_with_the_other_way_to_have_it(monkeypatch):
    def unreachable(*_args, **_named):
        raise FileNotFoundError("livecodebench/code_generation_lite: the hub cannot be reached")

    monkeypatch.setattr(hub, "files", unreachable)
    with pytest.raises(FileNotFoundError, match=r"^benchmark.livecodebench_hard: live.* reached; benchmark_folder may"):
        benchmarks.load("livecodebench_hard", settings(), None)
