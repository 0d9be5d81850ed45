"""The program that runs the asserts, inside a sandbox of its own: without the program under test, with its results.

Each function of the program is a stand-in that gives the result of an earlier run of the program. Where a result is
missing, the call is noted, and the asserts are run again when the result is there. So the expected values are never in
the process that the program runs in, and `==`, `assert` and `isinstance` are Python's own, applied to plain data.
`asserts.py` sends this file as text, between others: it imports nothing of this package.
"""

import ast
import builtins
import functools
import json
import random
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # in the sandbox these names stand before this text
    from vr.verify.sandbox.values import from_json, to_json

    PRESET: dict[str, Any] = {}


_FILE = "asserts"


class _MissingResultError(BaseException):
    """A result that is not known yet; no `except Exception` of the asserts catches it."""


class _EnoughError(BaseException):
    """As many results are missing as were asked for."""


class _FaultError(BaseException):
    """A run of the program hit a limit or has no result; no `except Exception` of the asserts makes that right."""


class _Program:
    """Stands for the program, with the known results; asks for `limit` missing ones at most.

    n_calls: how often it was called.
    missing: the calls whose results are not known: the function, and its arguments as JSON of a call.
    """

    def __init__(self, known: list[list[str]], limit: int) -> None:
        self._known = {(function, given): (kind, text) for function, given, kind, text in known}
        self._limit = limit
        self._n_missed = 0
        self.n_calls = 0
        self.missing: dict[tuple[str, str], None] = {}

    def call(self, function: str, *arguments: Any, **keywords: Any) -> Any:
        """The result of a call; raises what the program raised, or that the result is missing."""
        self.n_calls += 1
        call = function, json.dumps([to_json(list(arguments)), to_json(keywords)])
        if call not in self._known:
            self.missing[call] = None
            self._n_missed += 1
            raise _EnoughError if self._n_missed >= self._limit else _MissingResultError
        kind, text = self._known[call]
        if kind == "value":
            return from_json(json.loads(text), PRESET)
        raise _raised(kind, text)


def _raised(kind: str, text: str) -> BaseException:
    """The exception for a run that raised, of its own class where that is one of Python's, or that hit a limit."""
    named = getattr(builtins, text.split(":")[0], Exception)
    is_class = isinstance(named, type) and issubclass(named, Exception)
    kinds: dict[str, Any] = {"error": named if is_class else Exception, "fault": _FaultError}
    error: BaseException = kinds[kind].__new__(kinds[kind])
    error.reason = text  # type: ignore[attr-defined]
    return error


def _node_helpers() -> dict[str, Any]:
    """What the asserts of LeetCode's problems build and compare lists and trees of nodes with."""

    def build(kind: str, values: list[Any]) -> Any:
        return from_json({kind: values}, PRESET) if values else None

    def is_same(left: Any, right: Any) -> bool:
        return bool(to_json(left) == to_json(right))

    built = {
        name: functools.partial(build, kind) for name, kind in (("list_node", "ListNode"), ("tree_node", "TreeNode"))
    }
    return {**built, "is_same_list": is_same, "is_same_tree": is_same}


class _Names(dict[str, Any]):
    """The global names of the asserts. A name that nothing defines is a function of the program."""

    def __init__(self, program: _Program, function: str) -> None:
        candidate = functools.partial(program.call, function)
        super().__init__(PRESET, candidate=candidate, _MissingResultError=_MissingResultError, **_node_helpers())
        self[function] = candidate
        self._program = program

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return functools.partial(self._program.call, name)


class _Patient(ast.NodeTransformer):
    """Lets the asserts go on behind one whose result is missing, so that many missing results are found at once."""

    def visit_Assert(self, node: ast.Assert | ast.Expr) -> ast.stmt:
        handler = ast.ExceptHandler(ast.Name("_MissingResultError", ast.Load()), None, [ast.Pass()])
        return ast.copy_location(ast.Try([node], [handler], [], []), node)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return node if isinstance(node.value, ast.Constant) else self.visit_Assert(node)


def replay(source: str, function: str, known: list[list[str]], limit: int) -> list[Any]:
    """Run the asserts.

    Args:
        source: the asserts; where they define a function `check`, it is called with the program's function.
        function: the name of the program's function.
        known: the results of earlier calls: the function, its arguments, and a kind (value, error or fault) and a text.
        limit: how many missing results are asked for at most.

    Returns:
        `["calls", calls]` where results are missing, else `["passed", ""]` or `["failed", why]`; or
        `["unusable", why]` where the asserts fail without the program.
    """
    random.seed(0)  # the same calls in every run
    program = _Program(known, limit)
    try:
        _run(source, _Names(program, function))
    except (_MissingResultError, _EnoughError):
        pass
    except BaseException as error:
        if not program.missing:  # behind a missing result anything can fail
            return ["failed" if program.n_calls else "unusable", [_described(error, source)]]
    if program.missing:
        return ["calls", [list(call) for call in program.missing]]
    return ["passed", []] if program.n_calls else ["unusable", ["the asserts call no function of the program"]]


def _run(source: str, names: _Names) -> None:
    tree = ast.fix_missing_locations(_Patient().visit(ast.parse(source)))
    exec(compile(tree, _FILE, "exec"), names)
    check = names.get("check")
    if isinstance(check, types.FunctionType):
        check(names["candidate"])


def _described(error: BaseException, source: str) -> str:
    """Where the asserts failed, and why."""
    reason = getattr(error, "reason", "" if type(error) is AssertionError else type(error).__name__)
    number = _line_number(error)
    line = source.split("\n")[number - 1].strip() if number else ""
    return ": ".join(part for part in (f"line {number}" if number else "", line, reason) if part)


def _line_number(error: BaseException) -> int:
    """The line of the asserts that was reached last; 0 where there is none."""
    number = error.lineno or 0 if isinstance(error, SyntaxError) else 0
    trace = error.__traceback__
    while trace is not None:
        number = trace.tb_lineno if trace.tb_frame.f_code.co_filename == _FILE else number
        trace = trace.tb_next
    return number
