"""Tasks of reasoning_gym: scored inside the sandbox, and no answer can write its own score."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.verify.conftest import Judge, open_pool
from vr.verify import Task, Verdict
from vr.verify.gym import judge
from vr.verify.programs.grading import close_sandboxes
from vr.verify.registry import WorkerContext

CHAIN_SUM = {"question": "1 + 2 =", "answer": "3", "metadata": {}}
EVALUATING: dict[str, tuple[str, dict[str, Any]]] = {
    "puzzle24": ("(8 - 7 + 3) * 6", {}),
    "countdown": ("5 + 7 * 9", {"numbers": [5, 7, 9], "target": 68}),
    "simple_integration": ("x**2 + C", {"variable": "x", "integrand": "2*x"}),
    "intermediate_integration": ("exp(x) + C", {"variable": "x", "integrand": "exp(x)"}),
    "polynomial_multiplication": ("x**2 - 1", {}),
    "string_insertion": ("ABC", {}),
    "binary_matrix": ("0 1\n1 2", {}),
    "spiral_matrix": ("1 2 4 3", {}),
    "n_queens": ("_ Q", {"valid_answers": ["_ Q", "Q _"]}),
}
"""The data sets whose scorers evaluate the answer: the entry's own answer and the metadata."""

FORGED = """__import__('os').write(3, b'{"value": [1.0, ""]}') and __import__('os')._exit(0)"""


def entry_tests(dataset: str, answer: Any, metadata: Any) -> str:
    return json.dumps({"dataset": dataset, "entry": {"question": "?", "answer": answer, "metadata": metadata}})


def task(answer: str, dataset: str = "chain_sum") -> Task:
    own, metadata = EVALUATING.get(dataset, ("3", {}))
    return Task("reasoning_gym", rf"\boxed{{{answer}}}", None, entry_tests(dataset, own, metadata))


@pytest.fixture(scope="module")
def judge_gym(isolation_level: str) -> Iterator[Judge]:
    """Judges tasks of reasoning_gym and choices on one worker."""
    assert isolation_level
    yield from open_pool("reasoning_gym", "choice")


def outcomes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def test_the_data_sets_own_scorer_judges_and_the_level_of_isolation_is_recorded(judge_gym, isolation_level):
    right, same, wrong = judge_gym(task("3"), task("+03.00"), task("4"))
    assert outcomes([right, same, wrong]) == ["correct", "correct", "wrong"]
    assert right.detail == "score 1"
    assert {right.isolation, wrong.isolation} == {isolation_level}


def test_partial_credit_is_wrong(judge_gym):
    (verdict,) = judge_gym(task("is 3"))
    assert (verdict.outcome, verdict.detail) == ("wrong", "score 0.25")


def test_a_near_miss_is_wrong_and_its_score_is_not_rounded_to_1(judge_gym):
    days = entry_tests("calendar_arithmetic", "10000", {"task": "count_days"})
    right, wrong = judge_gym(*(Task("reasoning_gym", answer, None, days) for answer in ("10000", "10001")))
    assert outcomes([right, wrong]) == ["correct", "wrong"]
    assert wrong.detail == "score 0.999500125"  # exp(-5 / 10000)


def test_an_empty_solution_is_no_answer(judge_gym):
    assert outcomes(judge_gym(Task("reasoning_gym", " ", None, task("3").tests))) == ["no_answer"]


def test_the_own_answer_of_each_data_set_that_evaluates_is_correct(judge_gym):
    assert outcomes(judge_gym(*(task(own, name) for name, (own, _) in EVALUATING.items()))) == ["correct"] * 9


def test_equal_expressions_in_another_form_are_correct(judge_gym):
    answers = {
        "puzzle24": "6*(3 + 8 - 7)",
        "countdown": "9*7 + 5",
        "simple_integration": "(2*x)**2/4 + sin(x)**2 + cos(x)**2",
        "intermediate_integration": "E**x - 3",
        "polynomial_multiplication": "-1 + x*x",
    }
    assert outcomes(judge_gym(*(task(answer, name) for name, answer in answers.items()))) == ["correct"] * 5


@pytest.mark.parametrize("name", EVALUATING)
def test_an_answer_that_would_run_code_is_not_evaluated(judge_gym, name):
    (verdict,) = judge_gym(task("__import__('os').system('true')", name))
    assert verdict.outcome == "wrong"
    assert "not admitted" in verdict.detail or "not an arithmetic expression" in verdict.detail


def test_even_without_isolation_no_answer_runs_code(tmp_path):
    context = WorkerContext("unsafe")
    try:
        for name in EVALUATING:
            answer = task(f"__import__('pathlib').Path('{tmp_path}/{name}').touch()", name)
            assert judge.judge_reasoning_gym(answer, context).outcome == "wrong"
    finally:
        close_sandboxes()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EVALUATING)
def test_a_forged_score_is_not_correct(judge_gym, name):
    assert outcomes(judge_gym(task(FORGED, name), task(f"\t{FORGED}", name))) == ["wrong", "wrong"]


@pytest.mark.parametrize(
    "answer",
    [
        "S('__import__(chr(111) + chr(115))._exit(0)')",
        """sin("__import__('os')._exit(0)")""",
        """'__import__("os")._exit(0)'""",
        """["__import__('os')._exit(0)"]""",
        "__import__('os')._exit(0)!",
        "lambda x: __import__('os')._exit(0)",
        """Symbol("x").func("y").__class__""",
        "x.__class__",
    ],
)
def test_text_that_sympy_would_evaluate_by_detours_is_not_evaluated(judge_gym, answer):
    (verdict,) = judge_gym(task(answer, "simple_integration"))
    assert (verdict.outcome, verdict.detail[:7]) == ("wrong", "score 0")


def test_an_integral_that_is_left_to_the_scorer_is_wrong(judge_gym):
    assert outcomes(judge_gym(task("Integral(2*x, x)", "simple_integration"))) == ["wrong"]


@pytest.mark.parametrize("answer", ["68e0 + 0e5*(5 + 7 + 9)", "5 + 7*9*pi/pi", "5 + 7*9 + 0x0", "5.7*0e0 + 9 + 59e0"])
def test_numbers_that_the_scorer_does_not_see_do_not_reach_the_target(judge_gym, answer):
    assert outcomes(judge_gym(task(answer, "countdown"))) == ["wrong"]


def test_numbers_that_were_not_given_do_not_make_24(judge_gym):
    assert outcomes(judge_gym(task("6 * 4 * 1 * 1", "puzzle24"))) == ["wrong"]


def test_an_answer_cannot_change_the_verdicts_after_it(judge_gym):
    evil = "setattr(__import__('sys').modules['__main__'], 'judge', lambda *a: {'outcome': 'correct'})"
    verdicts = judge_gym(task(evil, "string_insertion"), Task("choice", "The answer is (A).", "B"), task("4"))
    assert outcomes(verdicts) == ["wrong"] * 3


@pytest.mark.slow
def test_an_answer_that_exceeds_a_limit_is_wrong(judge_gym):
    (verdict,) = judge_gym(task("9**9**9*(5 + 7)", "simple_integration"))
    assert (verdict.outcome, verdict.detail) == ("wrong", "the scorer: cpu limit")


def test_an_answer_that_is_nested_too_deeply_is_wrong(judge_gym):
    answers = ["-" * 5000 + "x", "(" * 5000 + "x" + ")" * 5000]
    assert outcomes(judge_gym(*(task(answer, "polynomial_multiplication") for answer in answers))) == ["wrong"] * 2


def test_what_the_scorer_raises_on_an_answer_is_wrong_and_named(judge_gym):
    boxnet = entry_tests("boxnet", None, {"initial_state": {"0.5, 0.5": ["box_red", "target_red"]}})
    (verdict,) = judge_gym(Task("reasoning_gym", "[1]", None, boxnet))
    assert (verdict.outcome, verdict.detail) == ("wrong", "the scorer: AttributeError")


def test_an_entry_whose_own_answer_is_not_accepted_counts_for_nobody(judge_gym):
    unusable = entry_tests("countdown", "5 + 7 * 9", {})
    verdicts = judge_gym(*(Task("reasoning_gym", answer, None, unusable) for answer in ("5 + 7 * 9", "5", "")))
    assert outcomes(verdicts) == ["unparsable_reference"] * 3
    assert verdicts[0].detail == "the scorer does not accept the entry's own answer"


def test_an_entry_whose_scorer_accepts_any_text_counts_for_nobody(judge_gym):
    (verdict,) = judge_gym(Task("reasoning_gym", "False", None, entry_tests("game_of_life_halting", "True", {})))
    assert (verdict.outcome, verdict.detail) == ("unparsable_reference", "the scorer accepts any text")


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (None, "JSONDecodeError"),
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"dataset": "chain_sum"}', "KeyError: 'entry'"),
        ('{"dataset": "chain_sum", "entry": 5}', "TypeError"),
        ('{"dataset": "chain_sum", "entry": {}}', "KeyError: 'answer'"),
        ('{"dataset": "no such", "entry": {"answer": "3"}}', "Dataset 'no such' not registered"),
        ('{"dataset": [], "entry": {"answer": "3"}}', "TypeError"),
        ('{"dataset": "composite", "entry": {"answer": "3"}}', "AssertionError: Must specify at least one dataset"),
        (entry_tests("rush_hour", None, {})[:-1] + "[" * 10**6, "JSONDecodeError"),
    ],
)
def test_tests_that_cannot_be_used_are_an_unparsable_reference_that_says_why(judge_gym, tests, reason):
    (verdict,) = judge_gym(Task("reasoning_gym", r"\boxed{3}", None, tests))
    assert verdict.outcome == "unparsable_reference"
    assert reason in verdict.detail


def test_a_missing_package_is_the_checkers_failure_and_is_named(isolation_level, monkeypatch):
    monkeypatch.setattr(judge, "_PRELOAD", ("no_such_package",))
    finding = judge.judge_reasoning_gym(task("3"), WorkerContext(isolation_level))
    assert finding.outcome == "crashed"
    assert "no_such_package" in finding.detail


def test_metadata_may_hold_lone_surrogates_and_huge_integers(judge_gym):
    number = "1" + "0" * 5000
    tests = entry_tests("chain_sum", "3", {"text": "\ud800", "1": {"2": "NUMBER"}}).replace('"NUMBER"', number)
    assert outcomes(judge_gym(Task("reasoning_gym", "3", None, tests))) == ["correct"]


def test_an_answer_may_hold_lone_surrogates_and_null_characters(judge_gym):
    answers = ["\ud800", "3\0", "\udcff" * 1000, "\x1b[31m3"]
    assert outcomes(judge_gym(*(task(answer) for answer in answers))) == ["wrong"] * 4
    assert outcomes(judge_gym(*(task(answer, "countdown") for answer in answers))) == ["wrong"] * 4


def test_entries_that_hold_tuples_are_equal_to_the_lists_that_json_makes_of_them(judge_gym):
    tests = entry_tests("rearc", "1 2\n3 4", {"output": ((1, 2), (3, 4))})
    right, wrong = judge_gym(*(Task("reasoning_gym", answer, None, tests) for answer in ("1 2\n3 4", "1 2\n3 5")))
    assert outcomes([right, wrong]) == ["correct", "wrong"]


def test_an_integral_that_the_data_set_itself_left_unsolved_can_be_solved(judge_gym):
    own = "-Integral(x**2*cos(x), x) + C"
    tests = entry_tests("intermediate_integration", own, {"variable": "x", "integrand": "-x**2*cos(x)"})
    answers = ["-x**2*sin(x) - 2*x*cos(x) + 2*sin(x) + C", own, "x"]
    verdicts = judge_gym(*(Task("reasoning_gym", answer, None, tests) for answer in answers))
    assert outcomes(verdicts) == ["correct", "wrong", "wrong"]


@pytest.mark.slow
def test_the_own_answer_of_every_data_set_is_correct(judge_gym):
    """Except for two: composite cannot be made without settings, and any text is right for game_of_life_halting."""
    code = (
        "import json, vr.verify.gym.preload, reasoning_gym as g\n"
        "for name in sorted(g.factory.DATASETS.keys() - {'composite', 'game_of_life_halting'}):\n"
        "    entry = g.create_dataset(name, size=1, seed=7)[0]\n"
        "    print('\\n' + json.dumps({'dataset': name, 'entry': entry}, default=str))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    own = {tests: json.loads(tests)["entry"]["answer"] for tests in printed.splitlines() if tests[:1] == "{"}
    tasks = [Task("reasoning_gym", answer or "?", None, tests) for tests, answer in own.items()]
    found = dict(zip(own, judge_gym(*tasks), strict=True))
    unexpected = [
        (tests[:40], verdict)
        for tests, verdict in found.items()
        if verdict.outcome != ("wrong" if own[tests] is None else "correct")
    ]
    assert unexpected == []
    assert len(own) > 100


@pytest.mark.slow
def test_the_installed_scorers_run_text_by_eval_and_sympy_only():
    """A version of reasoning_gym that runs text in another way fails here: `program` must learn of it."""
    (folder,) = importlib.util.find_spec("reasoning_gym").submodule_search_locations
    calls = {
        (path.name, name)
        for path in Path(folder).rglob("*.py")
        for name in _called(ast.parse(path.read_text(encoding="utf-8")))
    }
    makes_entries_only = ("codeio.py", "exec")
    assert calls == {makes_entries_only}


def _called(tree: ast.AST) -> set[str]:
    """The ways to run text, other than those that are guarded, that a module calls."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    plain = {function.id for function in functions if isinstance(function, ast.Name)}
    of_modules = {function.attr for function in functions if isinstance(function, ast.Attribute)}
    return plain & {"exec", "compile", "__import__"} | (plain | of_modules) & {
        *("parse_latex", "parse_mathematica", "lambdify", "import_module"),
        *("system", "popen", "Popen", "check_output", "unsafe_load"),
    }


def test_the_worker_never_loads_what_reads_model_text():
    code = "import sys, vr.verify.gym.judge; print({'reasoning_gym', 'sympy', 'numpy'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"
