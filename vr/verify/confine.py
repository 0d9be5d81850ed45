"""What a forked process does to itself before it runs a program: limits, no rights, Landlock, seccomp.

Runs inside the sandbox: standard library only. ``Confinement`` is prepared once, before the forks; every
step that fails raises, so that a program never runs with less than was promised.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import struct
import sys

from vr.verify import landlock, seccomp

PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
CAPABILITY_VERSION_3 = 0x20080522
MAX_DESCRIPTORS = 64
RULESET_DESCRIPTOR = 200
"""At least this high: out of the way of the descriptors that a program gets."""
CAPSET = {"x86_64": 126, "aarch64": 91}


class Confinement:
    """The confinement of one level: ``full`` and ``native`` are the same from here, ``unsafe`` sets limits only."""

    def __init__(self, level: str) -> None:
        self.level = level
        self.machine = os.uname().machine
        self.ruleset = -1
        if level != "unsafe":
            low = landlock.make_ruleset()
            self.ruleset = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, RULESET_DESCRIPTOR)
            os.close(low)
            seccomp.filter_template(self.machine)

    def enter(self, memory_bytes: int, cpu_seconds: int) -> None:
        """Confine the calling process for good. Raises OSError or NotImplementedError."""
        limit_resources(memory_bytes, cpu_seconds)
        if self.level == "unsafe":
            return
        forget_rights(self.machine)
        landlock.enforce(self.ruleset)
        os.close(self.ruleset)
        seccomp.install(seccomp.build_filter(os.getpid(), self.machine))


def limit_resources(memory_bytes: int, cpu_seconds: int) -> None:
    """No core files, no file that grows, few descriptors; memory and processor time as given.

    Soft and hard limit of the processor time are the same: the signal of the soft one could be caught.
    """
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: MAX_DESCRIPTORS,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: memory_bytes,
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def forget_rights(machine: str) -> None:
    """Drop every capability. The user stays: an interpreter in a private home must remain readable."""
    landlock.libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for capability in range(64):
        if landlock.libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), 8)
    landlock.call(CAPSET[machine], header, ctypes.create_string_buffer(24))


def bare_environment() -> None:
    """Leave nothing of the caller's environment."""
    os.environ.clear()
    os.environ.update(PATH="/usr/bin:/bin", HOME="/nonexistent", LANG="C.UTF-8", OMP_NUM_THREADS="1")
    sys.argv = ["main.py"]
