"""Processes that end when the process that started them ends, however that ends.

Linux only: a process is watched through a file descriptor that the kernel makes readable when the process ends.
Not covered: processes of other machines, and processes of a sandbox that do not see their parent's id.
"""

import os
import select
import threading
from collections.abc import Callable


def end_with_parent(parent: int) -> None:
    """End this process at once, without any clean-up, when its parent has ended.

    Args:
        parent: the parent's process id, as told by the parent: this process cannot ask for it safely, because a parent
            that ends early has been replaced by another process then.
    """
    when_ended(parent, lambda: os._exit(1))
    if os.getppid() != parent:  # it ended before it was watched, and its id may already belong to another process
        os._exit(1)


def when_ended(pid: int, then: Callable[[], object]) -> None:
    """Call `then` in a thread of its own once process `pid` has ended; at once if there is no such process.

    A process that has ended counts as such even if its own parent has not noticed yet.
    """
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        watched = None

    def wait() -> None:
        if watched is not None:
            poll = select.poll()  # not select.select, which refuses descriptors above 1023
            poll.register(watched, select.POLLIN)
            poll.poll()
            os.close(watched)
        then()

    threading.Thread(target=wait, daemon=True, name=f"when-{pid}-ended").start()
