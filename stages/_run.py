"""A stage's function as a command: arguments, log lines, errors in one line, an orderly end.

Also what several stages need of a run: the work folder that survives an interruption, and counts for the log line.
"""

import argparse
import atexit
import gc
import inspect
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NewType

import polars as pl
import psutil

from stages._settings import config_errors, one_line
from vr.execution import code
from vr.execution import work_folder as folders
from vr.execution.processes import when_ended
from vr.tables.files import require_writable

WORK = Path(".work")
"""What interrupted stages have done so far; git and DVC ignore it, and a stage empties its folder when it ends."""

SECONDS = WORK / "seconds.jsonl"
"""A line for each stage that ended well: its name in DVC, the seconds that its process lived, and its peak memory."""

Out = NewType("Out", Path)
"""An argument of a stage that names what it writes."""


def work_folder(out: Path, *inputs: Any) -> AbstractContextManager[Path]:
    """The work folder of the table `out`: a later run finds it again if its inputs and its code are the same.

    The code is what the running stage reaches by imports, so an edit elsewhere throws nothing away.

    Args:
        inputs: all that the rows of `out` follow from. A path stands for its content; the rest is JSON-able.

    Raises:
        RuntimeError: on entering: another process is at work on the same table; the message names it.
    """
    script = Path(inspect.getfile(sys.modules["__main__"]))
    key = folders.fingerprint(out.as_posix(), *inputs, *code.reached(script))
    return folders.work_folder(WORK, out.with_suffix("").as_posix().removeprefix("data/").replace("/", "-"), key)


def counts(frame: pl.DataFrame, column: str) -> str:
    """`a 3, b 1`: how often each value of a column occurs, for a stage's log line."""
    values = frame[column].cast(pl.String).value_counts(sort=True)
    return ", ".join(f"{value or 'ok'} {n}" for value, n in values.iter_rows())


def run(main: Callable[..., None]) -> None:
    """Run a stage from the command line: its arguments are the function's, and all of them are paths.

    A bad input, a missing file, a full disk or a failed engine is one line on standard error and exit status 1. So
    that it is not found after hours of work, a bad entry of params.yaml for another stage is one too, and so is an
    output (`Out`) that cannot be written.
    """
    name = Path(inspect.getfile(main)).stem
    arguments = vars(_parser(main, name).parse_args())
    logging.basicConfig(level=logging.INFO, format=f"{name}: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "filelock", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _collect_garbage_seldom()
    _end_in_order()
    try:
        if errors := config_errors():
            sys.exit("\n".join(f"{name}: error: {one_line(error)}" for error in errors))
        for argument in _outputs(main):
            require_writable(arguments[argument])
        main(**arguments)
        _record(name)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        logging.getLogger(name).debug("", exc_info=True)
        sys.exit(f"{name}: error: {one_line(str(error) or type(error).__name__)}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted")


def _record(name: str) -> None:
    """Add a line to SECONDS. What a stage has made is worth more than this record: a full disk is passed over."""
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    # The kernel counts what a process held before it became this program: of this one, its parent's memory.
    most = max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)  # both in KiB
    line = {
        "stage": os.environ.get("DVC_STAGE", name).rpartition(":")[2],
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
        "peak_mib": most >> 10,  # of this process, or of its largest child, such as a training rank
    }
    with suppress(OSError):
        SECONDS.parent.mkdir(exist_ok=True)
        with SECONDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _outputs(main: Callable[..., None]) -> list[str]:
    """The arguments of a stage's function that name what it writes."""
    return [name for name, argument in inspect.signature(main).parameters.items() if argument.annotation is Out]


def _parser(main: Callable[..., None], name: str) -> argparse.ArgumentParser:
    """One positional path per argument of the stage's function; the script's docstring is the help text."""
    module = inspect.getmodule(main)
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{name}",
        description=module.__doc__ if module else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for argument in inspect.signature(main).parameters:
        parser.add_argument(argument, type=Path, metavar=argument.upper())
    return parser


def _collect_garbage_seldom() -> None:
    """Spare the start and the end of a stage: engines import very many objects that stay, and need no search."""
    gc.set_threshold(100_000, 50, 1000)
    atexit.register(gc.freeze)


def _end_in_order() -> None:
    """Let SIGTERM end this process in order, and send it when the DVC that started this stage is killed.

    A DVC that was killed has not seen its stage end. The next one deletes the stage's output and runs it again, so
    going on would be of no use.
    """

    def end(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    if "DVC_STAGE" in os.environ:  # a person's own `nohup python -m stages...` outlives its shell
        main = threading.main_thread().ident
        assert main is not None
        # to the main thread, so that a call in which it waits is broken off
        when_ended(_dvc(), lambda: signal.pthread_kill(main, signal.SIGTERM))


def _dvc() -> int:
    """The DVC that started this stage: its parent, or its parent's parent where a shell such as dash stands between."""
    parent = os.getppid()
    with suppress(psutil.Error):  # it has ended already, or may not be looked at
        command = psutil.Process(parent).cmdline()
        if command[-2:-1] == ["-c"] and "stages." in command[-1]:
            return psutil.Process(parent).ppid()
    return parent
