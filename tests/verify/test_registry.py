"""The kinds: one list, which tables, code and README agree on."""

import subprocess
import sys
from pathlib import Path

import pytest

from vr.tables.vocabulary import JUDGED, OUTCOMES, VERIFIERS
from vr.verify import KINDS, Task, verify
from vr.verify.sandbox import limits, sandbox

README = Path(__file__).parents[2] / "vr" / "verify" / "README.md"


def test_an_unknown_verifier_is_an_error_before_the_first_verdict():
    with pytest.raises(ValueError, match="unknown verifier 'maths'"):
        verify([Task("maths", "1", "1")])


def test_no_tasks_give_no_verdicts():
    assert list(verify([])) == []


def test_the_kind_none_is_not_run():
    (verdict,) = verify([Task("none", "anything")])
    assert (verdict.outcome, verdict.isolation) == ("not_run", "none")
    assert verdict.outcome not in JUDGED


def test_judged_outcomes_are_the_three_that_say_something_about_the_answer():
    assert sorted(JUDGED) == ["correct", "no_answer", "wrong"]
    assert set(JUDGED) < set(OUTCOMES)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, vr.verify; print(sorted({'torch', 'sympy', 'math_verify', 'numpy', 'vllm'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_the_kinds_are_those_that_tables_may_name():
    assert tuple(KINDS) == VERIFIERS


def test_every_kind_names_a_function_that_exists():
    for kind in KINDS.values():
        assert callable(kind.load())


def test_every_hook_of_a_kind_is_a_function_that_exists():
    hooks = {hook for kind in KINDS.values() for hook in (kind.warm_up, kind.clean_up) if hook is not None}
    assert hooks == {"vr.verify.math.sympy_bridge:warm_up", "vr.verify.programs.grading:close_sandboxes"}
    KINDS["stdin"].run_clean_up()  # without a sandbox there is nothing to end
    KINDS["none"].run_warm_up()  # has none


def test_the_readme_names_the_limits_of_a_program():
    text = README.read_text()
    assert f"{sandbox.CPU_SECONDS} s of processor time" in text
    assert f"{sandbox._MEMORY_BYTES >> 30} GiB of memory" in text
    assert f"{sandbox._OUTPUT_BYTES >> 20} MiB of output" in text
    assert f"{limits._MAX_THREADS} threads" in text
    assert f"more than {sandbox.CPU_SECONDS * limits._WAIT_FACTOR:g} s;" in text
    assert f"less than {sandbox.CPU_SECONDS} s in {sandbox.CPU_SECONDS * limits.STARVED_FACTOR:g} s" in text


def test_the_readme_names_every_module():
    text = README.read_text().partition("## The map")[2]
    modules = {path.stem for path in README.parent.rglob("*.py")} - {"__init__"}
    assert sorted(name for name in modules if name not in text) == []


@pytest.mark.parametrize("word", [*VERIFIERS, *OUTCOMES])
def test_the_readme_explains_every_kind_and_outcome(word):
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{word}`" in row.split("|")[1] for row in rows)
