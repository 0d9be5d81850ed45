"""The grader's handle of a sandbox: run a program on one input, get its output and how it ended.

Promises, at the levels full and native. The program cannot: open a network connection or a path socket; read files
other than Python's own and the system's libraries; create or change any file; start a process; signal or trace another
one; use more memory, processor time, threads or output than allowed; outlive its run. It sees nothing of the caller's
environment, of other tests or of what is expected. Level full adds namespaces of its own for processes, network, files
and users (bubblewrap).
Does not promise: protection from a fault in the kernel, hiding of file names and sizes (native), or equal timing.
Level unsafe limits memory and processor time and promises nothing else.
"""

import contextlib
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
from typing import Any, Self

from vr.verify.sandbox.child import PACKAGE_ROOT
from vr.verify.sandbox.landlock import readable_paths
from vr.verify.sandbox.limits import STARVED, STARVED_FACTOR
from vr.verify.sandbox.server import STOP
from vr.verify.wire import receive_message

CPU_SECONDS = 4
"""Processor time that a program may use on one test."""

_MEMORY_BYTES = 1 << 30
_OUTPUT_BYTES = 16 << 20
_STACK_BYTES = 512 << 20
_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_START_SERVER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from vr.verify.sandbox.server import main; main()"
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SandboxError(Exception):
    """The sandbox itself failed, so nothing was learnt about the program. No program can cause it."""


@dataclass(frozen=True)
class Run:
    """How one run of a program went.

    output: what it wrote to stdout.
    result: what it wrote to the result descriptor: the JSON text of a call's result, or whatever else it chose.
    exit_code: the exit status, negative for a signal.
    reason: the limit that ended it, or empty.
    cpu_seconds: processor time of the run.
    """

    output: bytes
    result: bytes
    exit_code: int
    reason: str
    cpu_seconds: float


class SealedFile:
    """Bytes in memory, passed by descriptor, that a reader cannot change."""

    def __init__(self, data: bytes) -> None:
        self.descriptor = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)

    def rewind(self) -> None:
        """Set the position to the start: it is shared with all who have read before."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


class Sandbox:
    """A fork server at one level of isolation, started at its first use and again after a failure."""

    def __init__(self, level: str, preload: tuple[str, ...] = ()) -> None:
        """Start nothing yet.

        Args:
            level: full, native or unsafe.
            preload: modules, such as "numpy", that are imported once, before the programs start.
        """
        self.process: subprocess.Popen[bytes] | None = None
        self._level, self._preload = level, preload
        self._sock: socket.socket | None = None

    def start(self) -> socket.socket:
        """Start the server where it does not run, and return the socket to it.

        Raises:
            SandboxError: it cannot be started.
        """
        if self._sock is None:
            self._sock, theirs = socket.socketpair()
            with theirs:
                self._launch(theirs)
            self._greet(self._sock)
        return self._sock

    def _launch(self, theirs: socket.socket) -> None:
        arguments = [self._level, str(theirs.fileno()), *self._preload]
        command = [_interpreter(), "-s", "-P", "-c", _START_SERVER, PACKAGE_ROOT, *arguments]
        if self._level == "full":
            command = [*_bubblewrap(), *command]
        try:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=_server_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=_raise_stack_limit,
                start_new_session=True,
            )
        except OSError as error:
            self.close()
            raise SandboxError(f"cannot start: {error}") from error

    def _greet(self, sock: socket.socket) -> None:
        """Wait until the server says that it is ready."""
        try:
            sock.settimeout(_START_SECONDS)
            hello = receive_message(sock)
            sock.settimeout(None)
        except (EOFError, OSError) as error:
            self.close()
            raise SandboxError(f"{self._level}: the sandbox did not start") from error
        if not hello["ready"]:
            self.close()
            raise SandboxError(f"{self._level}: {hello['error']}")

    def close(self) -> None:
        """End the server and everything that runs in it."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self.process is not None:
            try:
                self.process.wait(2.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def run(self, job: SealedFile, stdin: SealedFile, cpu_seconds: float = CPU_SECONDS) -> Run:
        """Run the program of a job once.

        Args:
            job: JSON with `code` and `name`, the function of a call test or null.
            stdin: what the program reads; for a call test the arguments as JSON.
            cpu_seconds: processor time that it may use.

        Raises:
            SandboxError: the sandbox failed.
        """
        sock = self.start()
        output_read, output_write = os.pipe()
        result_read, result_write = os.pipe()
        limits = json.dumps({"cpu_seconds": cpu_seconds, "memory_bytes": _MEMORY_BYTES}).encode()
        try:
            try:
                stdin.rewind()
                sent = [job.descriptor, stdin.descriptor, output_write, result_write]
                socket.send_fds(sock, [limits], sent)
            finally:
                os.close(output_write)
                os.close(result_write)
            give_up = time.monotonic() + cpu_seconds * STARVED_FACTOR + _GRACE_SECONDS
            run, started = _Collector(sock, output_read, result_read).collect(give_up)
        except (EOFError, OSError) as error:
            self.close()
            raise SandboxError(f"the sandbox broke: {type(error).__name__}") from error
        finally:
            os.close(output_read)
            os.close(result_read)
        if not started:
            self.close()
            raise SandboxError(f"the sandbox could not be set up (status {run.exit_code})")
        if run.reason == STARVED:
            given = cpu_seconds * STARVED_FACTOR
            raise SandboxError(f"the machine is too busy: {run.cpu_seconds:.2g} s of processor time in {given:g} s")
        return run


class _Collector:
    """Reads both pipes of a run to their ends and the server's report, and stops a program that writes too much."""

    def __init__(self, sock: socket.socket, output_read: int, result_read: int) -> None:
        self._sock = sock
        self._pipes = (output_read, result_read)
        self._kept = {pipe: bytearray() for pipe in self._pipes}
        self._sizes = dict.fromkeys(self._pipes, 0)
        self._open = set(self._pipes)
        self._report: dict[str, Any] | None = None
        self._poller = select.poll()
        for pipe in self._pipes:
            os.set_blocking(pipe, False)  # a program can read from its own pipe what has been announced here
        for descriptor in (*self._pipes, sock.fileno()):
            self._poller.register(descriptor, select.POLLIN)

    def collect(self, give_up: float) -> tuple[Run, bool]:
        """Wait for the end of the run: how it went, and whether the program was started at all.

        Args:
            give_up: when to stop waiting (monotonic clock).

        Raises:
            OSError: the server is gone, or has said nothing by then.
            EOFError: the server is gone.
        """
        while self._report is None or self._open:
            # The pipes end when the program is dead; only without confinement another process can hold them open.
            patience = 0.2 if self._report else give_up - time.monotonic()
            events = self._poller.poll(max(0.0, patience) * 1000)
            if not events and self._report is not None:
                break
            if not events:
                raise OSError("no report")
            for descriptor, _ in events:
                self._read(descriptor)
        flooded = max(self._sizes.values()) > _OUTPUT_BYTES
        reason = "output limit" if flooded else self._report["reason"]
        output, result = (bytes(self._kept[pipe]) for pipe in self._pipes)
        run = Run(output, result, self._report["exit_code"], reason, self._report["cpu_seconds"])
        return run, self._report["started"]

    def _read(self, descriptor: int) -> None:
        if descriptor == self._sock.fileno():
            self._report = receive_message(self._sock)
            self._poller.unregister(self._sock)
        else:
            with contextlib.suppress(BlockingIOError):
                self._read_pipe(descriptor)

    def _read_pipe(self, pipe: int) -> None:
        if chunk := os.read(pipe, 1 << 16):
            self._keep(pipe, chunk)
        else:
            self._poller.unregister(pipe)
            self._open.remove(pipe)

    def _keep(self, pipe: int, chunk: bytes) -> None:
        """Keep a chunk up to the limit; at the first chunk beyond the limit of all pipes, stop the program."""
        already_flooded = max(self._sizes.values()) > _OUTPUT_BYTES
        self._sizes[pipe] += len(chunk)
        if self._sizes[pipe] <= _OUTPUT_BYTES:
            self._kept[pipe] += chunk
        elif not already_flooded and self._report is None:
            self._sock.send(STOP)


def _server_environment() -> dict[str, str]:
    """The whole environment of the server. A fixed hash seed makes the order of sets the same in every run."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",  # each arena reserves 64 MB of address space for each thread
    }


def _raise_stack_limit() -> None:
    """Make room for deep recursion in the main thread, whose stack is fixed when the interpreter starts."""
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES if hard < 0 else min(_STACK_BYTES, hard), hard))


def _interpreter() -> str:
    """This Python. Its last link stays, because a virtual environment is recognised by it; those of folders do not."""
    folder, name = os.path.split(sys.executable)
    return os.path.join(os.path.realpath(folder), name)


def _bubblewrap() -> list[str]:
    """The bubblewrap command line: Python and libraries read-only, nothing else, all namespaces new."""
    command = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--hostname", "sandbox", "--cap-drop", "ALL"]
    wanted = _wanted_paths()
    real = sorted({os.path.realpath(path) for path in wanted} - {"/"})
    outermost = [path for path in real if not any(path.startswith(other + "/") for other in real)]
    for path in outermost:
        command += ["--ro-bind", path, path]
    for link, target in sorted(_links_to({*wanted, _interpreter()}).items()):
        if not any(link.startswith(path + "/") for path in outermost):
            command += ["--symlink", target, link]
    return [*command, "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]


def _wanted_paths() -> set[str]:
    """The existing files and folders that the server needs, by the names that it knows them by."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))}
    wanted = {"/usr", "/lib", "/lib64", *prefixes, *readable_paths(), os.path.join(PACKAGE_ROOT, "vr")}
    wanted |= {path for path in ("/bin", "/sbin") if os.path.islink(path)}
    return {path for path in wanted if os.path.exists(path)}


def _links_to(paths: set[str]) -> dict[str, str]:
    """The symbolic links, with their targets, by which existing paths lead to their files; folders are followed too."""
    links: dict[str, str] = {}
    waiting = list(paths)
    while waiting:
        parts = waiting.pop().split("/")
        for n_parts in range(2, len(parts) + 1):
            front = "/".join(parts[:n_parts])
            if os.path.islink(front):
                links[front] = os.readlink(front)
                waiting.append(os.path.join(os.path.dirname(front), links[front], *parts[n_parts:]))
                break
            if parts[n_parts - 1] == "..":
                waiting.append(os.path.join(os.path.dirname(os.path.dirname(front)), *parts[n_parts:]))
                break
    return links
