"""The processor time of another process. A leaf: the pool and the server inside the sandbox both import it."""

import time


def process_cpu_seconds(pid: int) -> float:
    """Processor time, in seconds, that a process has used in all its threads; 0.0 where the process is gone.

    The kernel's clock id of a process is made of its number: see clock_getcpuclockid(3).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0
