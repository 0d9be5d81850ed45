"""The command for people: what it prints and its exit status."""

import io
import json
import subprocess
import sys

import pytest

from vr.verify import Verdict
from vr.verify.__main__ import _kind_of, main
from vr.verify.sandbox import isolation
from vr.verify.sandbox.isolation import LEVELS, Probe, probe


@pytest.fixture
def open_pool(monkeypatch, judge):
    """The command judges mathematics in the pool that all tests share."""
    monkeypatch.setattr("vr.verify.__main__.verify", lambda tasks, **_: judge(*tasks))
    monkeypatch.setattr("vr.verify.selfcheck.verify", lambda tasks, **_: judge(*tasks))


@pytest.mark.parametrize(
    ("gold", "answer", "status", "outcome"),
    [
        (r"\frac{1}{2}", "0.5", 0, "correct"),
        ("3", r"I think \boxed{4}", 1, "wrong"),
        ("3", r"\boxed{}", 1, "no_answer"),
        ("", "4", 2, "unparsable_reference"),
    ],
)
@pytest.mark.usefixtures("open_pool")
def test_math_prints_the_verdict(capsys, gold, answer, status, outcome):
    assert main(["math", "--gold", gold, "--answer", answer]) == status
    assert f"outcome: {outcome}\n" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_command_as_a_process_of_its_own():
    command = [sys.executable, "-m", "vr.verify", "math", "--gold", "3", "--answer", r"I think \boxed{4}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "outcome: wrong\n" in done.stdout


def test_choice_prints_the_verdict(capsys):
    assert main(["choice", "--gold", "B", "--answer", "(B)"]) == 0
    assert "outcome: correct" in capsys.readouterr().out


@pytest.mark.usefixtures("isolation_level")
@pytest.mark.parametrize(
    ("code", "tests", "status", "printed"),
    [
        ("print(int(input()) * 2)", {"inputs": ["2"], "outputs": ["4"]}, 0, "outcome: correct"),
        ("print(5)", {"inputs": ["2"], "outputs": ["4"]}, 1, "detail: test 0: wrong output"),
        ("def f(x): return x", {"inputs": [[1]], "outputs": [1], "fn_name": "f"}, 0, "outcome: correct"),
        ("def f(x): return x", {"asserts": "assert candidate(1) == 1", "fn_name": "f"}, 0, "outcome: correct"),
        ("def f(x): return x", {"asserts": "assert f(1) == 2", "fn_name": "f"}, 1, "outcome: wrong"),
        ("print(5)", [], 2, "outcome: unparsable_reference"),
    ],
)
def test_program_prints_the_verdict(capsys, tmp_path, code, tests, status, printed):
    (tmp_path / "p.py").write_text(code)
    (tmp_path / "t.json").write_text(json.dumps(tests))
    assert main(["program", str(tmp_path / "p.py"), "--tests", str(tmp_path / "t.json")]) == status
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tests", "kind"),
    [
        ('{"inputs": ["1"], "outputs": ["1"]}', "stdin"),
        ('{"inputs": [[1]], "outputs": [1], "fn_name": "f"}', "call"),
        ('{"asserts": "assert candidate(1) == 1", "fn_name": "f"}', "asserts"),
        ("[1]", "stdin"),
        ("[" * 100_000, "stdin"),
        ("", "stdin"),
    ],
)
def test_the_tests_say_which_kind_judges_a_program(tests, kind):
    assert _kind_of(tests) == kind


def test_a_missing_file_is_an_error_in_one_line_without_control_characters(capsys, tmp_path):
    assert main(["program", str(tmp_path / "none\x1b[2J.py"), "--tests", str(tmp_path / "t.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and r"none\x1b[2J.py" in line


def test_a_checker_that_cannot_work_is_an_error_in_words(capsys, monkeypatch):
    def verify(_tasks, **_options):
        raise RuntimeError("the verification forkserver has ended (status -9)")

    monkeypatch.setattr("vr.verify.__main__.verify", verify)
    assert main(["math", "--gold", "3", "--answer", "3"]) == 2
    assert capsys.readouterr().err == "error: the verification forkserver has ended (status -9)\n"


def test_a_detail_is_printed_without_control_characters_whatever_the_terminal_knows(monkeypatch):
    verdict = Verdict("wrong", "NameError: \ud800\x1b[2Jé", 0.0, 0.0, "worker")
    monkeypatch.setattr("vr.verify.__main__.verify", lambda _tasks, **_options: iter([verdict]))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["math", "--gold", "3", "--answer", "3"]) == 1
    sys.stdout.flush()
    assert rb"detail: NameError: \ud800\x1b[2J\xe9" in sys.stdout.buffer.getvalue()


@pytest.mark.usefixtures("open_pool")
def test_selfcheck_names_levels_attacks_and_what_is_not_promised(capsys):
    main(["selfcheck"])
    printed = capsys.readouterr().out
    for expected in ("level full", "level native", "Landlock version", "math: correct (as it should be)"):
        assert expected in printed
    if any(probe(level).holds for level in LEVELS):
        assert "held   read a file" in printed
        assert "not promised" in printed


@pytest.mark.usefixtures("open_pool")
def test_selfcheck_says_what_is_open_where_nothing_holds(capsys, monkeypatch):
    monkeypatch.setattr(isolation, "probe", lambda level: Probe(level, ("read a file", "send a datagram"), ""))
    assert main(["selfcheck"]) == 2
    printed = capsys.readouterr().out
    assert "programs are refused" in printed
    assert "OPEN   send a datagram" in printed
    assert "with --allow-unsafe-execution these are open: read a file, send a datagram" in printed


def test_without_isolation_a_program_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "probe", lambda level: Probe(level, (), "not here"))
    (tmp_path / "p.py").write_text("print(1)")
    (tmp_path / "t.json").write_text('{"inputs": [""], "outputs": ["1"]}')
    assert main(["program", str(tmp_path / "p.py"), "--tests", str(tmp_path / "t.json")]) == 2
    assert "programs cannot be isolated on this machine" in capsys.readouterr().err
