"""Which files of this project a program reads as code: what it imports, directly or by way of others.

Two things ask: a work folder, so that an edit of other code does not throw a half-done run away, and the test that
compares dvc.yaml with the code. Imports are read from the source, also those inside functions; a string such as
`"vr.verify.math.answers:judge_math"` counts as an import, since worker processes are named so.

Not covered: imports whose name is put together at run time, and packages from outside.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder that holds the packages `vr` and `stages`."""
_PACKAGES = ("vr", "stages")
_MODULE_NAME = re.compile(r"((?:vr|stages)(?:\.\w+)+)(?::\w+)?")


def reached(start: Path) -> list[Path]:
    """The files that the program `start` reads as code, itself included, sorted.

    Raises:
        FileNotFoundError: no such file.
        SyntaxError: a file is not Python.
    """
    seen: set[Path] = set()
    todo = {start.resolve()}
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= _imported(file) - seen
    return sorted(seen)


@cache
def _imported(file: Path) -> frozenset[Path]:
    """The project's files that one file imports, and the `__init__` of every package on the way to them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(path for node in ast.walk(tree) for name in _names(node) for path in _files(name))


def _names(node: ast.AST) -> Iterator[str]:
    """Module names in one node; a name out of a module is taken for a module too, which may not exist."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and (match := _MODULE_NAME.fullmatch(str(node.value))):
        yield match.group(1)


def _files(name: str) -> Iterator[Path]:
    parts = name.split(".")
    if parts[0] not in _PACKAGES:
        return
    for length in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file
