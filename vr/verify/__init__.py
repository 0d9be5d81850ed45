"""Verdicts on answers: mathematics, programs, choices. One call, ``verify``, for every kind.

Knows no table, no configuration and no fixed path. Importing it loads nothing heavy: what a verifier needs
is loaded in worker processes. A checker's failure (``timeout``, ``crashed``) and a reference that cannot be
used (``unparsable_reference``) are outcomes of their own and count neither as right nor as wrong.
The command line is ``python -m vr.verify``.
"""

from __future__ import annotations

from vr.verify.registry import VERIFIERS, Kind
from vr.verify.types import JUDGED, OUTCOMES, Finding, Task, Verdict
from vr.verify.verifying import verify

__all__ = ["JUDGED", "OUTCOMES", "VERIFIERS", "Finding", "Kind", "Task", "Verdict", "verify"]
