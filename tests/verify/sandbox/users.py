"""Running a command as an ordinary user who can reach the interpreter.

Tests that run as root switch to `nobody`. Where the interpreter lies in a home that only root may enter, the command
runs in a mount namespace of its own, in which that home is an open folder that holds only the interpreter.
"""

import os
import shutil
import stat
import subprocess
import sys

NOBODY = "65534"
OPEN_HOME = """set -e
home="$1"; shift
aside=$(mktemp -d)
while [ "$1" != "--" ]; do
  mkdir -p "$aside$1"; mount --bind "$1" "$aside$1"; kept="$kept $1"; shift
done
shift
mount -t tmpfs -o mode=755 tmpfs "$home"
for path in $kept; do mkdir -p "$path"; mount --bind "$aside$path" "$path"; done
for path in $kept; do umount "$aside$path"; done
find "$aside" -depth -type d -exec rmdir {} +
exec "$@"
"""


def closed_ancestor(path: str) -> str | None:
    """The topmost folder above a path that others may not enter."""
    parts = os.path.realpath(path).split("/")
    for n_parts in range(2, len(parts) + 1):
        folder = "/".join(parts[:n_parts])
        if os.path.isdir(folder) and not os.stat(folder).st_mode & stat.S_IXOTH:
            return folder
    return None


def as_ordinary_user(command: list[str], repository: str) -> tuple[list[str], str]:
    """(command, reason): the command to run, or an empty one and why it cannot be run."""
    if os.geteuid() != 0:
        return command, ""
    if not shutil.which("setpriv") or not shutil.which("unshare"):
        return [], "needs setpriv and unshare of util-linux"
    switched = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *command]
    needed = [sys.base_prefix, os.path.realpath(sys.prefix), repository]
    closed = {closed_ancestor(path) for path in needed} - {None}
    if closed:
        if len(closed) > 1:
            return [], f"the interpreter lies behind several closed folders: {sorted(map(str, closed))}"
        home = str(closed.pop())
        kept = [path for path in needed if os.path.realpath(path).startswith(home + "/")]
        switched = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            OPEN_HOME,
            "sh",
            home,
            *kept,
            "--",
            *switched,
        ]
    probe = subprocess.run(
        [*switched[: len(switched) - len(command)], sys.executable, "-c", "import numpy"],
        capture_output=True,
        text=True,
    )
    return (switched, "") if probe.returncode == 0 else ([], f"cannot become an ordinary user: {probe.stderr[-200:]}")
