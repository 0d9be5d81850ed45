"""The report of `python -m vr.verify selfcheck`: levels of isolation, small attacks, what is open; found by trying."""

import platform
from collections.abc import Iterator

from vr.verify.api import n_cores, verify
from vr.verify.sandbox import isolation, landlock, seccomp
from vr.verify.types import Task

_FIRST_RESULTS = (
    ("math", Task("math", r"So it is $\boxed{\frac{2}{4}}$.", "0.5"), "correct"),
    ("math", Task("math", r"So it is $\boxed{3}$.", "0.5"), "wrong"),
    ("choice", Task("choice", "The answer is (B).", "B"), "correct"),
)
_NOT_PROMISED = (
    "faults in the kernel are not held off",
    "a program can tell whether a file exists and how long it is (native)",
    "a program can measure time and see how busy the machine is",
)


def report() -> Iterator[str]:
    """The lines of the report."""
    table = "present" if platform.machine() in seccomp.AUDIT_ARCH else "none: no programs can be confined"
    yield f"machine: {platform.machine()}, {n_cores()} cores, Linux {platform.release()}"
    yield f"Landlock version: {landlock.version() or 'none'}; system call table: {table}"
    for level in isolation.LEVELS:
        yield from _level_report(level)
    try:
        yield f"programs run at level: {isolation.choose_level()}"
        yield from (f"  not promised: {line}" for line in _NOT_PROMISED)
    except isolation.IsolationUnavailableError as refusal:
        yield f"programs are refused: {refusal}"
        open_attacks = isolation.probe("unsafe").got_through
        yield f"  with --allow-unsafe-execution these are open: {', '.join(open_attacks) or 'none of those tried'}"
    verdicts = verify([task for _, task, _ in _FIRST_RESULTS], workers=1)
    for (name, _, expected), verdict in zip(_FIRST_RESULTS, verdicts, strict=True):
        mark = "as it should be" if verdict.outcome == expected else f"SHOULD BE {expected}"
        yield f"{name}: {verdict.outcome} ({mark})"


def _level_report(level: str) -> Iterator[str]:
    found = isolation.probe(level)
    yield f"level {level}: {'holds' if found.holds else found.broken or 'does not hold'}"
    if not found.broken:
        for name in isolation.ATTACKS:
            yield f"  {'OPEN  ' if name in found.got_through else 'held  '} {name}"


def all_well() -> bool:
    """Whether programs can be isolated on this machine."""
    return any(isolation.probe(level).holds for level in isolation.LEVELS)
