"""What a forked process does to itself before it runs a program: a tie to its parent, limits, Landlock, seccomp.

`Confinement` is prepared once, before the forks. Every step that fails raises, so that a program never runs with less
than was promised. Runs inside the sandbox: standard library only.
"""

import contextlib
import ctypes
import fcntl
import math
import os
import resource
import signal
import socket
import struct
import sys

from vr.verify.sandbox import landlock, seccomp

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_CAPABILITY_VERSION_3 = 0x20080522
_CAPSET = {"x86_64": 126, "aarch64": 91}
_MAX_DESCRIPTORS = 64
_RULESET_DESCRIPTOR = 200
"""At least this high, so that it does not collide with the descriptors that a program gets."""


class Confinement:
    """The confinement of one level: full and native are the same from here, unsafe only sets limits."""

    def __init__(self, level: str) -> None:
        """Prepare what can be prepared before the forks.

        Raises:
            OSError: the kernel has no Landlock.
            NotImplementedError: there is no system call table for this machine.
        """
        self.level = level
        self.machine = os.uname().machine
        self.ruleset = -1
        if level != "unsafe":
            low = landlock.make_ruleset()
            self.ruleset = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _RULESET_DESCRIPTOR)
            os.close(low)
            seccomp.filter_template(self.machine)
            seccomp.hold_filter(self.machine)

    def enter(self, memory_bytes: int, cpu_seconds: float, server: socket.socket) -> None:
        """Confine the calling process for good.

        Args:
            memory_bytes: address space that it may use.
            cpu_seconds: processor time that it may use. The server watches over it; the limit set here is wider.
            server: gets the descriptor that asks for leave to start a thread, where there can be one.

        Raises:
            OSError: the kernel refused a step.
        """
        _limit_resources(memory_bytes, cpu_seconds)
        if self.level == "unsafe":
            return
        _ask_for_threads(self.machine, server)
        _drop_capabilities(self.machine)
        landlock.enforce(self.ruleset)
        os.close(self.ruleset)
        seccomp.install(seccomp.build_filter(os.getpid(), self.machine))


def _limit_resources(memory_bytes: int, cpu_seconds: float) -> None:
    """Allow no core files, no file that grows and few descriptors; memory as given.

    The processor time is a backstop behind the server's exact clock: the kernel counts it in ticks and strikes up to
    an eighth early on a busy machine. Its soft and hard limit are equal, because a program could catch the signal of
    the soft one.
    """
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: _MAX_DESCRIPTORS,
        resource.RLIMIT_CPU: math.ceil(max(cpu_seconds + 1, cpu_seconds * 1.25)),
        resource.RLIMIT_AS: memory_bytes,
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def _ask_for_threads(machine: str, server: socket.socket) -> None:
    """Have every new thread wait for the server's leave. Where that cannot be, its looks alone bound the threads."""
    try:
        listener = seccomp.hold_clones(machine)
    except OSError:
        return
    socket.send_fds(server, [b"threads"], [listener])
    os.close(listener)


def _drop_capabilities(machine: str) -> None:
    """Drop every capability. The user stays the same: an interpreter in a private home must remain readable."""
    landlock.libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for capability in range(64):
        if landlock.libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    landlock.call(_CAPSET[machine], header, ctypes.create_string_buffer(24))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies. The program cannot undo it: seccomp refuses the call.

    Args:
        parent: the process that forked this one; it may be dead already.
    """
    landlock.libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def be_first_to_go() -> None:
    """Where memory runs out, have the kernel end this process, and not one of the checker's."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def bare_environment() -> None:
    """Replace the environment and the command line of this process: nothing of the caller's is left."""
    os.environ.clear()
    os.environ.update(PATH="/usr/bin:/bin", HOME="/nonexistent", LANG="C.UTF-8", OMP_NUM_THREADS="1")
    sys.argv = ["main.py"]
