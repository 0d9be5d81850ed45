"""The command for people: what it prints and its exit status."""

import json
import subprocess
import sys

import pytest

from vr.verify.__main__ import main
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
        ("print(5)", [], 2, "outcome: unparsable_reference"),
    ],
)
def test_program_prints_the_verdict(capsys, tmp_path, code, tests, status, printed):
    (tmp_path / "p.py").write_text(code)
    (tmp_path / "t.json").write_text(json.dumps(tests))
    assert main(["program", str(tmp_path / "p.py"), "--tests", str(tmp_path / "t.json")]) == status
    assert printed in capsys.readouterr().out


def test_a_missing_file_is_an_error_in_words(capsys, tmp_path):
    assert main(["program", str(tmp_path / "none.py"), "--tests", str(tmp_path / "t.json")]) == 2
    assert "error:" in capsys.readouterr().err


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
