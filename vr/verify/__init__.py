"""Verdicts on answers: mathematics, programs, choices. One call, `verify`, judges every kind.

Knows no table, no configuration and no fixed path. Importing it loads nothing heavy: what a verifier needs is loaded
in worker processes. A failure of the checker (timeout, crashed) and a reference that cannot be used
(unparsable_reference) are outcomes of their own and count neither as right nor as wrong.
The command line is `python -m vr.verify`; README.md in this folder describes kinds, outcomes and the sandbox.

The server inside the sandbox imports this package too: nothing here may import the pool or a package that is not part
of Python.
"""

from vr.verify.api import verify
from vr.verify.registry import KINDS, Kind, WorkerContext
from vr.verify.types import Finding, Task, Verdict

__all__ = ["KINDS", "Finding", "Kind", "Task", "Verdict", "WorkerContext", "verify"]
