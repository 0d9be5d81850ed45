"""The grader's handle of a sandbox: run a program on one input, get its output and how it ended.

Promises, at the levels full and native: the program cannot open a network connection or a path socket, read
files other than Python's own and the system's libraries, create or change any file, start a process, signal
or trace another, use more memory, processor time, threads or output than allowed, or outlive its run. It
sees nothing of the caller's environment, of other tests or of what is expected. Level full adds namespaces
of its own for processes, network, files and users (bubblewrap).
Does not promise: protection from a fault in the kernel, hiding of file names and sizes (native), or equal
timing. Level unsafe limits memory and processor time and promises nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from vr.verify.child import PACKAGE_ROOT, READY
from vr.verify.landlock import readable_paths
from vr.verify.server import STARVED_FACTOR, STOP
from vr.verify.wire import receive_message

CPU_SECONDS = 4
MEMORY_BYTES = 1 << 30
OUTPUT_BYTES = 16 << 20
STACK_BYTES = 512 << 20
START_SECONDS = 60.0
GRACE_SECONDS = 10.0
START_SERVER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from vr.verify.server import main; main()"
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SandboxError(Exception):
    """The sandbox itself failed: nothing was learnt about the program."""


@dataclass(frozen=True)
class Run:
    """How one run of a program went.

    output: what it wrote to stdout. result: the JSON text of a call's result, without the ready mark.
    exit_code: negative for a signal. reason: the limit that ended it, or empty.
    """

    output: bytes
    result: bytes
    exit_code: int
    reason: str
    cpu_seconds: float


class Sandbox:
    """A fork server at one level of isolation, started on first use and again after a failure."""

    def __init__(self, level: str, *, numpy: bool = False) -> None:
        self.level, self.numpy = level, numpy
        self.process: subprocess.Popen[bytes] | None = None
        self.sock: socket.socket | None = None

    def start(self) -> socket.socket:
        """The socket of a running server. Raises SandboxError where none can be started."""
        if self.sock is not None:
            return self.sock
        ours, theirs = socket.socketpair()
        arguments = [self.level, str(theirs.fileno()), "1" if self.numpy else "0"]
        command = [sys.executable, "-s", "-P", "-c", START_SERVER, PACKAGE_ROOT, *arguments]
        if self.level == "full":
            command = [*bubblewrap(), *command]
        with theirs:
            try:
                self.process = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env=server_environment(),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    preexec_fn=raise_stack_limit,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise SandboxError(f"cannot start: {error}") from error
        self.sock = ours
        try:
            ours.settimeout(START_SECONDS)
            hello = receive_message(ours)
            ours.settimeout(None)
        except (EOFError, OSError) as error:
            self.close()
            raise SandboxError(f"{self.level}: the sandbox did not start") from error
        if not hello["ready"]:
            self.close()
            raise SandboxError(f"{self.level}: {hello['error']}")
        return ours

    def close(self) -> None:
        """End the server and whatever runs in it."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self.process is not None:
            try:
                self.process.wait(2.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def run(self, job: SealedFile, stdin: SealedFile, cpu_seconds: int = CPU_SECONDS) -> Run:
        """Run the program of a job once. Raises SandboxError where the sandbox breaks."""
        sock = self.start()
        output_read, output_write = os.pipe()
        result_read, result_write = os.pipe()
        limits = json.dumps({"cpu_seconds": cpu_seconds, "memory_bytes": MEMORY_BYTES}).encode()
        try:
            try:
                stdin.rewind()
                sent = [job.descriptor, stdin.descriptor, output_write, result_write]
                socket.send_fds(sock, [limits], sent)
            finally:
                os.close(output_write)
                os.close(result_write)
            give_up = time.monotonic() + cpu_seconds * STARVED_FACTOR + GRACE_SECONDS
            run = collect(sock, output_read, result_read, give_up)
        except (EOFError, OSError) as error:
            self.close()
            raise SandboxError(f"the sandbox broke: {type(error).__name__}") from error
        finally:
            os.close(output_read)
            os.close(result_read)
        if not run.result.startswith(READY):
            self.close()
            raise SandboxError(f"the sandbox could not be set up (status {run.exit_code})")
        return Run(run.output, run.result[len(READY) :], run.exit_code, run.reason, run.cpu_seconds)


def collect(sock: socket.socket, output_read: int, result_read: int, give_up: float) -> Run:
    """Read both pipes to their ends and the server's report, stopping a program that floods them."""
    kept: dict[int, list[bytes]] = {output_read: [], result_read: []}
    sizes = {output_read: 0, result_read: 0}
    report: dict[str, Any] | None = None
    flooded = False
    poller = select.poll()
    for descriptor in (output_read, result_read, sock.fileno()):
        poller.register(descriptor, select.POLLIN)
    n_open = 2
    while report is None or n_open:
        # Once the program is dead its pipes end; only without confinement can another hold them open.
        patience = 0.2 if report else give_up - time.monotonic()
        events = poller.poll(max(0.0, patience) * 1000)
        if not events and report is not None:
            break
        if not events:
            raise OSError("no report")
        for descriptor, _ in events:
            if descriptor == sock.fileno():
                report = receive_message(sock)
                poller.unregister(sock)
                continue
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                poller.unregister(descriptor)
                n_open -= 1
                continue
            sizes[descriptor] += len(chunk)
            if sizes[descriptor] <= OUTPUT_BYTES:
                kept[descriptor].append(chunk)
            elif not flooded and report is None:
                flooded = True
                sock.send(STOP)
    reason = "output limit" if flooded or max(sizes.values()) > OUTPUT_BYTES else report["reason"]
    return Run(
        b"".join(kept[output_read]), b"".join(kept[result_read]), report["exit_code"], reason, report["cpu_seconds"]
    )


class SealedFile:
    """Bytes in memory that others can read but not change, passed by descriptor."""

    def __init__(self, data: bytes) -> None:
        self.descriptor = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, SEALS)

    def rewind(self) -> None:
        """The position is shared with whoever read before."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def __enter__(self) -> SealedFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def server_environment() -> dict[str, str]:
    """All that the server gets to see: a fixed hash seed makes the order of sets the same in every run."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",  # each arena reserves 64 MB of address space per thread
    }


def raise_stack_limit() -> None:
    """Room for deep recursion in the main thread, which is fixed when the interpreter starts."""
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES if hard < 0 else min(STACK_BYTES, hard), hard))


def bubblewrap() -> list[str]:
    """The bubblewrap command line: Python and libraries read-only, nothing else, all namespaces new."""
    command = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--hostname", "sandbox", "--cap-drop", "ALL"]
    links = [path for path in ("/bin", "/lib", "/lib64", "/sbin") if os.path.islink(path)]
    for path in links:
        command += ["--symlink", os.readlink(path), path]
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))}
    wanted = {"/usr", "/lib", "/lib64", *prefixes, *readable_paths(), os.path.join(PACKAGE_ROOT, "vr")}
    real = sorted({path for path in wanted if path not in links and os.path.exists(path) and path != "/"})
    outermost = [path for path in real if not any(path.startswith(other + "/") for other in real)]
    for path in outermost:
        command += ["--ro-bind", path, path]
    return [*command, "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]
