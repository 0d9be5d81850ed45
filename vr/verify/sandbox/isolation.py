"""The levels of isolation: which of them this machine offers, found by attacking each at start-up.

full: bubblewrap round native. native: Landlock, seccomp and limits, which need no package. Where neither holds,
programs are not run unless the caller allows it, and then what is open is listed. A level holds only if every small
attack fails and an honest program still runs.
"""

import functools
import json
import logging
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass

from vr.verify.sandbox.sandbox import Sandbox, SandboxError, SealedFile

_logger = logging.getLogger(__name__)

LEVELS = ("full", "native")
"""The levels that isolate, the strongest first."""

_HONEST = "import decimal\nprint(sum(map(int, input().split())))"

ATTACKS = {
    "read a file": "print(open({secret!r}).read())",
    "write a file": "open({target!r}, 'w').write('x')\nprint('done')",
    "start a process": "import os\nif os.fork() == 0: os._exit(0)\nprint('done')",
    "run a command": "import subprocess\nprint(subprocess.run(['/bin/echo', 'done'], capture_output=True).stdout)",
    "open a connection": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\nprint('done')",
    "send a datagram": "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "s.sendto(b'x', ('127.0.0.1', {port}))\nprint('done')",
    "signal the parent": "import os\nos.kill(os.getppid(), 0)\nprint('done')",
    "change a file's mode": "import os\nos.chmod({secret!r}, 0o777)\nprint('done')",
    "take more memory": "x = bytearray(3 << 30)\nprint('done')",
}
"""The small attacks by name. Each prints something only if it succeeds."""


class IsolationUnavailableError(RuntimeError):
    """No level of isolation holds on this machine, and the caller did not allow to run programs without one."""


@dataclass(frozen=True)
class Probe:
    """The result of probing one level.

    level: the level.
    got_through: names of the attacks that succeeded.
    broken: why the level cannot be used at all, or empty.
    """

    level: str
    got_through: tuple[str, ...]
    broken: str

    @property
    def holds(self) -> bool:
        """Whether programs may run at this level."""
        return not self.got_through and not self.broken


@functools.cache
def probe(level: str) -> Probe:
    """Try every small attack at a level. The result is kept for the life of the process."""
    if level == "full" and not shutil.which("bwrap"):
        return Probe(level, (), "bubblewrap (bwrap) is not installed")
    sandbox = Sandbox(level)
    try:
        if _run_once(sandbox, _HONEST, b"20 22\n") != b"42\n":
            return Probe(level, (), "an honest program does not run")
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
            secret = os.path.join(folder, "secret")
            with open(secret, "w") as file:
                file.write("secret")
            facts = {"secret": secret, "target": os.path.join(folder, "x"), "port": listener.getsockname()[1]}
            through = [name for name, code in ATTACKS.items() if _run_once(sandbox, code.format(**facts), b"")]
            if os.path.exists(facts["target"]) and "write a file" not in through:
                through.append("write a file")
    except SandboxError as failure:
        return Probe(level, (), str(failure))
    finally:
        sandbox.close()
    return Probe(level, tuple(through), "")


def _run_once(sandbox: Sandbox, code: str, stdin: bytes) -> bytes:
    """What a program prints when it is run once."""
    job = json.dumps({"code": code, "name": None}).encode("ascii")
    with SealedFile(job) as job_file, SealedFile(stdin) as stdin_file:
        return sandbox.run(job_file, stdin_file, cpu_seconds=2).output


def choose_level(*, allow_unsafe: bool = False) -> str:
    """The strongest level that holds; unsafe where none does and the caller allows it.

    Raises:
        IsolationUnavailableError: none holds and the caller does not allow unsafe; says what was tried and was open.
    """
    probes = []
    for level in LEVELS:
        probes.append(probe(level))
        if probes[-1].holds:
            return level
    if allow_unsafe:
        open_attacks = probe("unsafe").got_through
        _logger.warning(
            "programs run without isolation; open are: %s", ", ".join(open_attacks) or "none of those tried"
        )
        return "unsafe"
    tried = "; ".join(f"{p.level}: {p.broken or 'open to ' + ', '.join(p.got_through)}" for p in probes)
    raise IsolationUnavailableError(
        f"programs cannot be isolated on this machine ({tried}). Install bubblewrap or use a kernel with Landlock "
        f"and seccomp; --allow-unsafe-execution (stages: allow_unsafe_execution in machine.yaml) runs them regardless."
    )
