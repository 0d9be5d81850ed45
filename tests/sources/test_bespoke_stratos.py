"""Bespoke-Stratos: rows are split, traced to the rows they were made from, and judged by those rows' answers and tests.

The rows are hand-made in the layouts of the sets on the hub. Two tests read real rows, where they lie beside the
repository.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vr.settings.sources import BespokeStratos
from vr.sources import bespoke_stratos
from vr.sources.bespoke_stratos.judging import ANY_WILL_DO
from vr.sources.loaded import Loaded
from vr.verify import Task, verify

REAL = Path(__file__).parents[2].parent / "shared" / "realdata"
BOX = "Return your final response within \\boxed{}. "
STDIN = (
    "Generate an executable Python function generated from the given prompt. The function should take stdin as input "
    "and print the output. Simply call the function after the definition."
)
CALL = (
    "Generate an executable Python function generated from the given prompt. Return the function body without "
    "invoking it at the final solution."
)
DOUBLE = json.dumps({"inputs": ["2\n", "5\n"], "outputs": ["4\n", "10\n"]})
TRIPLE = json.dumps({"inputs": ["2\n"], "outputs": ["6\n"]})
AREA = json.dumps({"fn_name": "area", "inputs": [[2, 3]], "outputs": [6]})
Row = dict[str, Any]


def response(answer: str, thought: str = "Let me think.") -> str:
    return (
        f"<|begin_of_thought|>\n\n{thought}\n\n<|end_of_thought|>\n\n"
        f"<|begin_of_solution|>\n\n{answer}\n\n<|end_of_solution|>"
    )


def still_2(answer: str) -> str:
    """As STILL-2 has it: no blank line after the solution's begin marker."""
    return (
        "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n"
        f"<|begin_of_solution|>{answer}<|end_of_solution|>"
    )  # fmt: skip


def row(question: str, answer: str, system: str | None = "Think first.") -> Row:
    turns = [("user", question), ("assistant", answer if answer.startswith("<|") else response(answer))]
    return {"system": system, "conversations": [{"from": who, "value": value} for who, value in turns]}


def program(code: str) -> str:
    return response(f"```python\n{code}\n```")


DATA = [
    row(f"{BOX}What is 1+1?", "It is \\boxed{2}."),
    row(f"{BOX}What is 1/2 as a decimal?", "It is \\boxed{0.5}."),
    row(f"{BOX}Which is even?\n(A) 3 (B) 4", "So \\boxed{B}."),
    row(f"{BOX}Prove it.", "It is plain."),
    row(f"{STDIN}Double the number.\n", program("print(2 * int(input()))")),
    row(f"{CALL}Area of a rectangle.\ndef area(a, b):", program("def area(a, b):\n    return a * b")),
    row(f"{STDIN}Print a prime. If there are several answers, print any of them.\n", program("print(2)")),
    row("A knight says that he lies. Who is he?", still_2("He is \\boxed{\\text{nobody}}.")),
    row("Why is the sky blue?", still_2("It scatters.")),
    row(f"{STDIN}Triple the number.", program("print(3 * int(input()))")),
    row(f"{STDIN}Double the number.\n", program("print(2 * int(input()))")),
    row(f"{STDIN}Halve the number.", program("print(int(input()) // 2)")),
]
"""numina 0 to 3, apps 4 to 6, ruc 7 and 8, taco 9 to 11."""
NAMES = [
    "numina/2", "numina/0", "numina/3", "numina/1", "apps/1", "apps/0", "apps/2", "ruc/1", "ruc/0",
    "taco/1", "taco/0", "taco/2",
]  # fmt: skip

NUMINA = [
    {"problem": "What is 1/2 as a decimal?", "solution": "Divide: $\\boxed{\\frac{1}{2}}$.", "source": "math"},
    {"problem": "Prove it.", "solution": "Obvious.", "source": "olympiads"},
    {"problem": "What is  1+1?\n", "solution": "$\\boxed{2}$", "source": "math"},
    {"problem": "Which is even?\n(A) 3 (B) 4", "solution": "$\\boxed{4}$", "source": "amc_aime"},
]
APPS = [
    {"id": 0, "question": "Area of a rectangle.", "starter_code": "def area(a, b):", "input_output": AREA},
    {"id": 1, "question": "Double the number.", "starter_code": "", "input_output": DOUBLE},
    {
        "id": 2,
        "question": "Print a prime. If there are several answers, print any of them.",
        "starter_code": "",
        "input_output": DOUBLE,
    },
]
TACO_TRAIN = [
    {"question": "Double the number.", "starter_code": None, "input_output": DOUBLE, "solutions": "[]"},
    {"question": "Triple the number.", "starter_code": None, "input_output": TRIPLE, "solutions": "[]"},
]
TACO_TEST = [{"question": "Halve the number.", "starter_code": None, "input_output": "", "solutions": "[]"}]
RUC = [
    {"question": "Why is the sky blue?", "combined_text": still_2("It scatters."), "domain": "physics"},
    {"question": "A knight says that he lies. Who is he?", "combined_text": "", "domain": "puzzle"},
]

Sources = dict[str, str | None]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(rows, infer_schema_length=None)
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".arrow":
        table.write_ipc_stream(path)
    else:
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))


@pytest.fixture
def sets(tmp_path) -> Sources:
    """The four source sets as they lie on the hub, in folders."""
    write(tmp_path / "numina/data/train-00000-of-00001.parquet", NUMINA)
    write(tmp_path / "apps/test.jsonl", APPS)
    write(tmp_path / "apps/train.jsonl", [{"question": "another", "starter_code": "", "input_output": ""}])
    write(tmp_path / "taco/train/data-00000-of-00001.arrow", TACO_TRAIN)
    write(tmp_path / "taco/test/data-00000-of-00001.arrow", TACO_TEST)
    write(tmp_path / "ruc/train.jsonl", RUC)
    return {name: str(tmp_path / name) for name in ("numina", "apps", "taco", "ruc")}


@pytest.fixture
def load(tmp_path) -> Callable[..., Loaded]:
    """Loads rows with these settings; without any of them there are no names and no source sets."""

    def loaded(data: Sequence[Row] = DATA, /, *, names: Sequence[str] | None = None, **settings: Any) -> Loaded:
        write(tmp_path / "data.jsonl", data)
        if names is not None:
            write(tmp_path / "names.parquet", [{"source": name} for name in names])
        entry = dict.fromkeys(("revision", "numina", "apps", "taco", "ruc")) | {"rows": "all"}
        entry |= {"data": str(tmp_path / "data.jsonl"), "names": names and str(tmp_path / "names.parquet")}
        return bespoke_stratos.load(BespokeStratos(**(entry | settings)))

    return loaded


def column(loaded: Loaded, name: str) -> list[Any]:
    return loaded.problems[name].to_list()


# Which row


def test_a_row_is_traced_by_its_text_and_its_place(load, sets):
    loaded = load(**sets)
    assert column(loaded, "source") == ["numina"] * 4 + ["apps"] * 3 + ["ruc"] * 2 + ["taco"] * 3
    assert column(loaded, "source_row") == NAMES  # test rows of taco are counted on from its train rows
    of_both_sets = [4, 10]
    assert [i for i, how in enumerate(column(loaded, "match_method")) if how == "order"] == of_both_sets
    assert set(column(loaded, "match_method")) == {"text", "order"}


def test_a_named_row_is_that_row(load, sets):
    loaded = load(names=NAMES, **sets)
    assert column(loaded, "source_row") == NAMES
    assert set(column(loaded, "match_method")) == {"named"}


def test_names_and_texts_lead_to_the_same_references_and_tests(load, sets):
    judged = ["problem_id", "reference", "verifier", "tests"]
    assert load(names=NAMES, **sets).problems[judged].equals(load(**sets).problems[judged])


def test_a_name_whose_row_is_another_question_is_replaced_by_the_text(load, sets):
    loaded = load(names=["numina/3", *NAMES[1:]], **sets)
    assert (column(loaded, "source_row")[0], column(loaded, "match_method")[0]) == ("numina/2", "text")


def test_a_name_beyond_the_sets_end_is_replaced_by_the_text(load, sets):
    assert column(load(names=["numina/999", *NAMES[1:]], **sets), "source_row")[0] == "numina/2"


def test_names_stand_without_source_sets(load):
    loaded = load(names=NAMES)
    assert column(loaded, "source_row") == NAMES
    assert column(loaded, "source")[9] == "taco"


def test_rows_of_one_text_are_taken_in_their_order(load, tmp_path):
    rows = [{"problem": "What is 1+1?", "solution": f"\\boxed{{{answer}}}"} for answer in ("2", "10")]
    write(tmp_path / "twice.jsonl", rows)
    loaded = load([DATA[0], DATA[0], DATA[0]], numina=str(tmp_path / "twice.jsonl"))
    assert column(loaded, "source_row") == ["numina/0", "numina/1", "numina/1"]
    assert column(loaded, "match_method") == ["order"] * 3
    assert column(loaded, "reference") == ["2", "10", "10"]


def test_white_space_and_the_form_of_unicode_make_no_other_text(load, tmp_path):
    write(tmp_path / "one.jsonl", [{"problem": " Cafe\u0301\n\n costs? ", "solution": "\\boxed{3}"}])
    loaded = load([row(f"{BOX}Caf\u00e9 costs?", "\\boxed{2}")], numina=str(tmp_path / "one.jsonl"))
    assert column(loaded, "reference") == ["3"]


def test_a_question_in_no_row_of_its_set_has_no_source_row_and_is_counted(load, sets, caplog):
    loaded = load([*DATA[:3], row(f"{BOX}New?", "\\boxed{7}")], **sets)
    assert column(loaded, "source_row")[3] is None
    assert column(loaded, "match_method")[3] is None
    assert column(loaded, "reference")[3] == "7"
    assert "numina: 1 of 4 questions are in no row" in caplog.text


def test_programs_without_sets_go_by_their_place(load):
    loaded = load()
    assert column(loaded, "source") == ["numina"] * 4 + ["apps"] * 3 + ["ruc"] * 2 + ["taco"] * 3
    assert set(column(loaded, "source_row")) == {None}
    assert set(column(loaded, "match_method")) == {None}


def test_taco_may_have_its_train_rows_alone(load, sets, tmp_path):
    (tmp_path / "taco/test/data-00000-of-00001.arrow").unlink()
    assert column(load(**sets), "source_row")[9:] == ["taco/1", "taco/0", None]


def test_a_file_of_taco_is_read_once(load, tmp_path):
    write(tmp_path / "taco.jsonl", TACO_TRAIN)
    loaded = load(DATA[8:11], taco=str(tmp_path / "taco.jsonl"))
    assert column(loaded, "source_row") == [None, "taco/1", "taco/0"]
    assert column(loaded, "match_method") == [None, "text", "text"]


def test_a_program_that_only_one_set_has_is_of_that_set_wherever_it_stands(load, sets):
    triple, area = DATA[9], DATA[5]
    assert column(load([triple, *DATA[:9], area], **sets), "source_row")[::10] == ["taco/1", "apps/0"]


def test_a_question_without_the_words_of_a_program_is_none(load, sets):
    loaded = load([*DATA, row("Double the number.", "Two of it.")], **sets)
    assert (column(loaded, "source")[-1], column(loaded, "source_row")[-1]) == ("ruc", None)


def test_only_the_sets_that_have_a_question_are_read(load, sets):
    assert column(load(rows=4, **sets | {"ruc": "no/such.parquet"}), "source_row") == NAMES[:4]  # ruc is not asked for


# How it is judged


def test_mathematics_is_right_by_the_sources_answer_or_by_the_rows_own(load, sets):
    loaded = load(**sets)
    assert column(loaded, "reference")[:3] == ["2", "\\frac{1}{2}", "4"]
    assert column(loaded, "tests")[:3] == [None, '{"also": ["0.5"]}', '{"also": ["B"]}']
    assert column(loaded, "verifier")[:3] == ["math"] * 3


def test_without_its_source_a_row_of_mathematics_is_judged_by_its_own_answer(load):
    assert column(load(), "reference")[:3] == ["2", "0.5", "B"]


def test_a_row_without_any_box_has_no_verifier(load, sets):
    loaded = load([*DATA, row("How many?", "The answer is 5.")], **sets)
    for place in (3, 8, 12):
        assert column(loaded, "verifier")[place] == "none"
        assert column(loaded, "reference")[place] is None


def test_the_answer_of_a_row_of_ruc_is_the_last_box_of_its_response(load):
    only_in_thought = response("He is nobody.", thought="\\boxed{1}? No: \\boxed{\\text{nobody}}")
    loaded = load([DATA[7], row("Who?", only_in_thought)])
    assert column(loaded, "reference") == ["\\text{nobody}"] * 2


def test_programs_have_all_tests_of_their_source_row(load, sets):
    loaded = load(**sets)
    assert column(loaded, "verifier")[4:6] == ["stdin", "call"]
    assert column(loaded, "tests")[4:6] == [DOUBLE, AREA]
    assert column(loaded, "tests")[9] == TRIPLE
    assert column(loaded, "reference")[4:6] == [None, None]


def test_a_program_without_tests_is_not_judged(load, sets, caplog):
    caplog.set_level(logging.INFO)
    loaded = load(**sets)
    assert column(loaded, "verifier")[11] == "none"
    assert "taco: 1 programs are not judged: no tests are known" in caplog.text


def test_a_program_that_may_print_any_of_several_outputs_is_not_judged(load, sets):
    loaded = load(**sets)
    assert column(loaded, "verifier")[6] == "none"
    assert column(loaded, "tests")[6] is None


def test_a_program_with_too_long_tests_is_not_judged(load, sets, monkeypatch):
    monkeypatch.setattr("vr.sources.bespoke_stratos.judging.MAX_TESTS_BYTES", len(DOUBLE))  # those of area are longer
    assert column(load(**sets), "verifier")[4:6] == ["stdin", "none"]


def test_own_solutions_are_right_by_their_verifiers(load, sets):
    rows = load(**sets).problems.filter(pl.col("verifier") != "none")
    tasks = [Task(one["verifier"], one["solution"], one["reference"], one["tests"]) for one in rows.to_dicts()]
    assert [verdict.outcome for verdict in verify(tasks, workers=1)] == ["correct"] * 8


# The rows themselves


def test_a_row_keeps_its_system_prompt_its_user_turn_and_its_response(load):
    problem = load(DATA[7:8]).problems.row(0, named=True)
    assert problem["problem_id"] == "bespoke_stratos/0"
    assert problem["system"] == "Think first."
    assert problem["question"] == "A knight says that he lies. Who is he?"
    assert problem["solution"] == still_2("He is \\boxed{\\text{nobody}}.")


def test_an_empty_system_prompt_is_none(load):
    assert column(load([row("Why?", "So.", system=" ")]), "system") == [None]
    assert column(load([row("Why?", "So.", system=None)]), "system") == [None]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("Why?", "<|begin_of_thought|> cut off"), "does not split: solution without its four markers in order"),
        (row("Why?", response(" ")), "does not split: solution with nothing between its solution markers"),
        (row("\n", "So."), "no question"),
        ({"system": "", "conversations": DATA[0]["conversations"][:1]}, "not one turn of the user and one of the"),
        ({"system": "", "conversations": DATA[0]["conversations"][::-1]}, "not one turn of the user and one of the"),
        ({"system": "", "conversations": None}, "not one turn of the user and one of the assistant"),
    ],
)
def test_a_row_that_is_no_training_question_is_left_out_with_the_reason(load, bad, reason):
    loaded = load([DATA[0], bad, DATA[1]])
    assert column(loaded, "problem_id") == ["bespoke_stratos/0", "bespoke_stratos/2"]
    (left,) = loaded.left_out.to_dicts()
    assert (left["source"], left["source_row"]) == ("bespoke_stratos", "bespoke_stratos/1")
    assert left["reason"].startswith(reason)


def test_names_stay_with_their_rows_where_a_row_is_left_out(load, sets):
    rows = [DATA[0], row("Why?", "<|begin_of_thought|> cut off"), DATA[1]]
    loaded = load(rows, names=["numina/2", "ruc/5", "numina/0"], **sets)
    assert column(loaded, "source_row") == ["numina/2", "numina/0"]


def test_nothing_but_bad_rows_gives_no_questions(load):
    loaded = load([row("Why?", "<|begin_of_thought|> cut off")])
    assert (loaded.problems.height, loaded.left_out.height) == (0, 1)


def test_the_first_rows_can_be_asked_for(load, sets):
    assert column(load(rows=2, names=NAMES, **sets), "source_row") == NAMES[:2]


def test_parquet_in_the_hubs_layout_is_read_as_jsonl_is(load, tmp_path):
    write(tmp_path / "hub/data/train-00000-of-00001.parquet", DATA)
    assert load(data=str(tmp_path / "hub")).problems.equals(load().problems)


# What is refused


def test_names_of_another_number_are_refused(load):
    with pytest.raises(ValueError, match=r"names.parquet: 11 names for the 12 rows of .*data.jsonl"):
        load(names=NAMES[:-1])


def test_a_name_of_no_set_is_refused(load):
    with pytest.raises(ValueError, match="source 'aops/3' names no row of numina, apps, taco, ruc"):
        load(names=["aops/3", *NAMES[1:]])


def test_names_in_another_order_are_refused(load):
    with pytest.raises(
        ValueError, match=r"bespoke_stratos/0 is called taco/2, but its question is not of that kind: .* in the"
    ):
        load(names=NAMES[::-1])


def test_a_set_with_none_of_its_questions_is_refused(load, sets, tmp_path):
    write(tmp_path / "other.jsonl", [{"problem": "Another?", "solution": "\\boxed{1}"}])
    with pytest.raises(ValueError, match=r"other.jsonl: none of its 1 rows is one of the 4 questions of numina: name"):
        load(**sets | {"numina": str(tmp_path / "other.jsonl")})


def test_a_set_that_is_not_there_is_named(load, sets):
    with pytest.raises(FileNotFoundError, match=r"^no/such.parquet: no such file or folder$"):
        load(**sets | {"ruc": "no/such.parquet"})


def test_a_missing_column_of_a_set_is_named(load, sets, tmp_path):
    write(tmp_path / "short.jsonl", [{"question": "Double the number.", "input_output": DOUBLE}])
    with pytest.raises(ValueError, match="column 'starter_code' is missing"):
        load(**sets | {"apps": str(tmp_path / "short.jsonl")})


def test_tests_that_are_no_text_are_refused(load, sets, tmp_path):
    write(tmp_path / "parsed.jsonl", [one | {"input_output": json.loads(one["input_output"])} for one in APPS[1:]])
    with pytest.raises(ValueError, match=r"parsed.jsonl: column 'input_output' should hold text, not Struct"):
        load(**sets | {"apps": str(tmp_path / "parsed.jsonl")})


@pytest.mark.parametrize(
    "conversations", ["text", ["text"], [{"role": "user", "content": "Why?"}], [{"from": "user", "value": 1}]]
)
def test_conversations_of_another_form_are_refused(load, conversations):
    with pytest.raises(ValueError, match="column 'conversations' should hold lists of turns, each with from and value"):
        load([{"system": "", "conversations": conversations}])


# Real rows

needs_real_rows = pytest.mark.skipif(not REAL.is_dir(), reason="the real rows do not lie beside the repository")


@needs_real_rows
def test_the_real_row_is_a_question_that_its_own_verifier_accepts(load):
    problem = load(data=str(REAL / "bespoke_stratos" / "one_row.jsonl")).problems.row(0, named=True)
    assert problem["system"].startswith("Your role as an assistant")
    assert (problem["source"], problem["verifier"], problem["reference"]) == ("numina", "math", "A")
    (verdict,) = verify([Task("math", problem["solution"], problem["reference"])], workers=1)
    assert verdict.outcome == "correct"


@needs_real_rows
def test_real_rows_of_apps_are_found_by_the_user_turn_made_of_them(load):
    path = REAL / "apps" / "apps_10.jsonl"
    apps = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row(f"{STDIN}{one['question']}\n{one['starter_code']}", program("pass")) for one in reversed(apps)]
    loaded = load(rows, apps=str(path))
    assert column(loaded, "source_row") == [f"apps/{n}" for n in reversed(range(10))]
    assert column(loaded, "tests")[-1] == apps[0]["input_output"]


@needs_real_rows
def test_the_wording_finds_most_problems_of_taco_with_several_right_outputs_and_few_others():
    prompts = json.loads((REAL / "taco" / "taco_test_prompts_and_one_solution.json").read_text())
    judges = [json.loads(line) for line in (REAL / "taco" / "output_spj.jsonl").read_text().splitlines()]
    several = pl.Series([judge["case"] == 1 for judge in judges])
    found = pl.Series([prompt["prompt"] for prompt in prompts]).str.contains(ANY_WILL_DO)
    assert (several.sum(), (found & several).sum(), (found & ~several).sum()) == (137, 109, 6)
