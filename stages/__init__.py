"""One thin script per DVC stage: `python -m stages.NAME PATHS...` (paths only; what is computed is in params.yaml).

This module is what they share: reading params.yaml and machine.yaml, and turning a border error into one line.
"""

import argparse
import inspect
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import psutil
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vr.execution import work_folder
from vr.settings.machine import Machine
from vr.settings.params import Params, complaint

P = TypeVar("P", bound=Params)
WORK = Path(".work")
"""What an interrupted stage had done; untracked, and emptied when the stage ends."""
_ROOT = Path(__file__).parents[1]


def params(cls: type[P]) -> P:
    """The stage's parameters out of ./params.yaml."""
    return cls.read(_yaml(Path("params.yaml")))


def machine() -> Machine:
    """./machine.yaml, or what is found out where there is none."""
    path = Path("machine.yaml")
    if not path.exists():
        return Machine()
    try:
        return Machine(**_yaml(path))
    except ValidationError as error:
        items = ((".".join(map(str, item["loc"])), item) for item in error.errors())
        raise ValueError("\n".join(complaint("machine.yaml", entry, item) for entry, item in items)) from error


def complaints() -> list[str]:
    """What is wrong in params.yaml, for whichever stage, and in machine.yaml: a line or more each."""
    found: dict[str, None] = {}  # a shared entry is read by several stages: say it once

    def check(read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except (ValueError, OSError) as error:
            found.update(dict.fromkeys(str(error).splitlines()))
            return None

    document = check(_yaml, Path("params.yaml"))
    if document is not None:
        for section in _sections(Params):
            check(section.read, document)
    check(machine)
    return list(found)


def _sections(cls: type[Params]) -> list[type[Params]]:
    here = [cls] if hasattr(cls, "section") else []
    return here + [section for child in cls.__subclasses__() for section in _sections(child)]


def _yaml(path: Path) -> dict[str, Any]:
    try:
        # YAML 1.2, unlike PyYAML, reads 2e-05 (which `dvc exp run -S` writes) as a number
        document = YAML(typ="safe", pure=True).load(path.read_text())
    except YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: should be keys and values, is {type(document).__name__}")
    return document


def prompt(path: Path) -> str:
    """A system prompt's wording, from its file."""
    text = path.read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{path}: the prompt is empty")
    return text


def unfinished(out: Path, *inputs: Any) -> AbstractContextManager[Path]:
    """The work folder for the table `out`: found again by a run with the same inputs and the same code, and no other.

    Args:
        inputs: all that the rows of `out` follow from: paths stand for their content, the rest is JSON-able.

    Raises:
        RuntimeError: on entering: another process is at work on the same table; says which.
    """
    code = sorted(path for package in ("vr", "stages") for path in (_ROOT / package).rglob("*.py"))
    return work_folder.folder(WORK, f"{out.parent.name}-{out.stem}", work_folder.fingerprint(out.name, *inputs, *code))


def counts(frame: pl.DataFrame, column: str) -> str:
    """`a 3, b 1`: how often each value of a column occurs, for a stage's log line."""
    values = frame[column].cast(pl.String).value_counts(sort=True)
    return ", ".join(f"{value or 'ok'} {n}" for value, n in values.iter_rows())


def run(main: Callable[..., None]) -> None:
    """Run a stage from the command line: its arguments are the function's, all paths.

    A bad input, a missing file, a full disk or a failed engine is one line on standard error and exit status 1; so is
    an entry of params.yaml that is bad for another stage, lest it be found after hours of work.
    """
    name = Path(inspect.getfile(main)).stem
    module = inspect.getmodule(main)
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{name}",
        description=module.__doc__ if module else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for argument in inspect.signature(main).parameters:
        parser.add_argument(argument, type=Path, metavar=argument.upper())
    arguments = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format=f"{name}: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "filelock", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _end_in_order()
    try:
        if found := complaints():
            raise ValueError("\n".join(found))
        main(**arguments)
    except (ValueError, OSError, RuntimeError) as error:
        logging.getLogger(name).debug("", exc_info=True)
        sys.exit(f"{name}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted")


def _end_in_order() -> None:
    """Let SIGTERM end this process in order, and be sent to it when DVC is killed: DVC could not use what came after.

    (It would delete the output of a stage that it had not seen end, and begin again.)
    """

    def end(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    if "DVC_STAGE" in os.environ and (dvc := _dvc()):  # not where a person left it running with nohup
        threading.Thread(target=_end_after, args=[dvc], daemon=True, name="end-after-dvc").start()


def _dvc() -> psutil.Process | None:
    """The DVC that started this stage: its parent, or that of a shell in between that waits (dash does, bash not)."""
    with suppress(psutil.Error):  # gone already, or not to be seen
        parent = psutil.Process().parent()
        if parent and parent.cmdline()[-2:-1] == ["-c"] and "stages." in parent.cmdline()[-1]:
            return parent.parent()
        return parent
    return None


def _end_after(dvc: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:  # dead, whether or not its parent has noticed
            time.sleep(0.1)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)  # to this thread: so that a call in which it waits is broken off
