"""The limits of one running program that the server watches: processor time, waiting, threads.

What counts against a program is only what it does itself. Processor time is read from the kernel's exact clock; the
resource limit, which the kernel counts in ticks and reaches early on a busy machine, is set wider, as a backstop.
A program waits while none of its threads runs or wants to run: it sleeps, or reads a disk. Time in which it wants a
processor and does not get one is the machine's, and is not counted as waiting. The looks come at random moments, so
that a program cannot be found awake at each of them.
Threads are counted before each is made: seccomp holds every clone until the server has let it (`seccomp.hold_clones`).
Runs inside the sandbox: standard library only.
"""

import fcntl
import os
import random
import struct
import time

from vr.verify.cpu_clock import process_cpu_seconds

STARVED_FACTOR = 25.0
"""Wall time allowed per second of processor time. A program within its limits reaches it only on a starved machine."""
STARVED = "starved"
"""The reason of a run that was ended because the machine is too busy: nothing was learnt about the program."""

_WAIT_FACTOR = 2.0
"""Time that a program may wait, per second of processor time allowed."""
_MAX_THREADS = 128
_LOOK_SECONDS = (0.025, 0.075)
_MAX_STEP_SECONDS = 0.15
"""What one look can add to the time waited: where the server itself did not get to look, nobody knows."""
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND of linux/seccomp.h
_NOTIFICATION_BYTES = 80
_CONTINUE = 1
_system_random = random.SystemRandom()  # the state of any other generator would be in the program's memory


class Limits:
    """One running program, and how near it is to its limits.

    seconds_waited: the time for which it has waited.
    next_look: when it is to be looked at again (monotonic clock).
    """

    def __init__(self, pid: int, cpu_seconds: float) -> None:
        self.seconds_waited = 0.0
        self._pid, self._cpu_seconds = pid, cpu_seconds
        self._started = self._looked = time.monotonic()
        self._set_next_look()

    def exceeded(self) -> str:
        """The limit that the program exceeds, or the empty string."""
        if process_cpu_seconds(self._pid) >= self._cpu_seconds:
            return "cpu limit"
        now = time.monotonic()
        if now < self.next_look:
            return ""
        threads = _thread_numbers(self._pid)
        if not any(_wants_processor(self._pid, thread) for thread in threads):
            self.seconds_waited += min(now - self._looked, _MAX_STEP_SECONDS)
        self._looked = now
        self._set_next_look()
        if len(threads) > _MAX_THREADS:
            return "thread limit"
        if self.seconds_waited >= self._cpu_seconds * _WAIT_FACTOR:
            return "wall limit"
        return STARVED if now - self._started > self._cpu_seconds * STARVED_FACTOR else ""

    def refused_thread(self, listener: int) -> str:
        """Let one held clone go on; or say "thread limit" where the program has as many threads as it may.

        Several threads may be held at once, so a program can have up to twice as many for a moment.
        """
        notification = bytearray(_NOTIFICATION_BYTES)
        try:
            fcntl.ioctl(listener, _RECEIVE, notification)
            if len(_thread_numbers(self._pid)) >= _MAX_THREADS:
                return "thread limit"
            (number,) = struct.unpack_from("=Q", notification)
            fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", number, 0, 0, _CONTINUE))
        except OSError:  # the thread has ended, or a signal has called it back
            pass
        return ""

    def _set_next_look(self) -> None:
        self.next_look = self._looked + _system_random.uniform(*_LOOK_SECONDS)


def _thread_numbers(pid: int) -> list[str]:
    """The threads of a process; none where it is gone, or where /proc hides it: then all its time counts as waiting."""
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _wants_processor(pid: int, thread: str) -> bool:
    """Whether a thread runs or waits for a processor (state R of proc(5)); False where it is gone."""
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].startswith(b"R")
    except OSError:
        return False
