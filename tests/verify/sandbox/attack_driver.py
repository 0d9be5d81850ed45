"""Runs every attack, cheat and honest program at one level and prints the result of each, as JSON.

The driver plays the host of the attacks: it listens on sockets, plants canaries, keeps a victim process, inherits
orphans, and looks after each attack for any effect. To run it: `python -m tests.verify.sandbox.attack_driver native`.
"""

import ctypes
import fcntl
import json
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.verify.sandbox import attacks
from vr.verify.programs import grading
from vr.verify.registry import WorkerContext
from vr.verify.sandbox.child import PACKAGE_ROOT
from vr.verify.types import Finding, Task

PR_SET_CHILD_SUBREAPER = 36
CALLS = {
    "x86_64": {"process_vm_readv": 310, "vfork": 58, "clone": 56, "clone3": 435, "keyctl": 250, "bpf": 321},
    "aarch64": {"process_vm_readv": 270, "vfork": -1, "clone": 220, "clone3": 435, "keyctl": 219, "bpf": 280},
}
MARK = "vr-attack-"
VICTIM = "import sys, time\nsys.argv\ntime.sleep(600)  # victim-marker"


class Host:
    """The canaries, and the check that they are untouched."""

    def __init__(self, folder: str) -> None:
        os.chmod(folder, 0o777)
        self.folder = folder
        self.secret = secrets.token_hex(8)
        self.mark = MARK + secrets.token_hex(4)  # drivers run side by side: each looks for its own traces
        self.caught: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGIO):
            signal.signal(number, lambda received, _: self.caught.append(received))
        for name in ("secret", "victim"):
            with open(os.path.join(folder, name), "w") as file:
                file.write(self.secret)
            os.chmod(os.path.join(folder, name), 0o666)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract_name = self.mark + "-abstract"
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0" + self.abstract_name)
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.bind(os.path.join(folder, "stream"))
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(os.path.join(folder, "datagram"))
        for listener in (self.abstract, self.stream):
            listener.listen()
        self.sockets = (self.tcp, self.udp, self.abstract, self.stream, self.datagram)
        for sock in self.sockets:
            sock.setblocking(False)
        self.terminal, self.terminal_end = os.openpty()
        environment = {**os.environ, "VR_SECRET": self.secret}
        self.victim = subprocess.Popen([sys.executable, "-c", VICTIM], env=environment)
        self.before = self.snapshot()
        self.mine = psutil.Process()
        self.family: set[int] = set()

    def note_family(self) -> None:
        """The processes that are meant to be there: the victim, the fork servers, bubblewrap's helpers."""
        self.family = {process.pid for process in self.mine.children(recursive=True)}

    def facts(self, first: str, second: str) -> dict[str, str]:
        """The values of the names in the programs."""
        return {
            "OPEN": self.folder,
            "MARK": self.mark,
            "SECRET": self.secret,
            "TCP": str(self.tcp.getsockname()[1]),
            "UDP": str(self.udp.getsockname()[1]),
            "ABSTRACT": self.abstract_name,
            "VICTIM": str(self.victim.pid),
            "DRIVER": str(os.getpid()),
            "TTY": os.ttyname(self.terminal_end),
            "SYSCALLS": repr(CALLS[platform.machine()]),
            "ROOT": PACKAGE_ROOT,
            "FIRST": first,
            "SECOND": second,
        }

    def snapshot(self) -> dict[str, Any]:
        """Every file of the open folder: contents, mode, times, attributes."""
        files = {}
        for name in sorted(os.listdir(self.folder)):
            path = os.path.join(self.folder, name)
            facts = os.lstat(path)
            content = Path(path).read_text() if os.path.isfile(path) else ""
            files[name] = (content, facts.st_mode, facts.st_mtime_ns, facts.st_nlink)
        return files

    def effects(self) -> list[str]:
        """What an attack changed, in words. A second call does not report it again."""
        seen = []
        after = self.snapshot()
        if after != self.before:
            names = sorted(k for k in after.keys() | self.before.keys() if after.get(k) != self.before.get(k))
            seen.append(f"files changed: {names}")
            self.before = after
        for sock in self.sockets:
            try:
                sock.accept() if sock.type == socket.SOCK_STREAM else sock.recv(100)
                seen.append(f"{sock.getsockname()!r} was reached")
            except BlockingIOError:
                pass
        if self.victim.poll() is not None:
            seen.append("the victim is dead")
        if self.caught:
            seen.append(f"the driver got signals {self.caught}")
            self.caught.clear()
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/"):
            seen += [f"{folder}/{name}" for name in os.listdir(folder) if name.startswith(self.mark)]
        with open("/proc/sysvipc/shm") as table:
            seen += ["System V memory" for line in table if line.split()[0] == str(0x5652)]
        pending = bytearray(4)
        fcntl.ioctl(self.terminal_end, 0x541B, pending)
        if any(pending):
            seen.append("the terminal was written to")
        seen += [f"process left: {text}" for text in self.strangers()]
        return seen

    def strangers(self) -> list[str]:
        """Descendants that were not there before the attacks; the driver inherits orphans."""
        living = [p for p in self.mine.children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        return [f"{p.pid} {p.name()}" for p in living if p.pid not in self.family]

    def close(self) -> None:
        """End what was started, and remove what attacks without a sandbox have left."""
        for folder in ("/tmp", "/dev/shm"):
            for name in os.listdir(folder):
                if name.startswith(self.mark) and os.stat(os.path.join(folder, name)).st_uid == os.geteuid():
                    os.unlink(os.path.join(folder, name))
        self.victim.kill()
        self.victim.wait()
        for sock in self.sockets:
            sock.close()


def filled(code: str, facts: dict[str, str]) -> str:
    """The program with the host's facts in place."""
    for name, value in facts.items():
        code = code.replace(f"@{name}@", value)
    return code


class Grader:
    """Grades programs at one level, as the pipeline does."""

    def __init__(self, level: str) -> None:
        self.context = WorkerContext(level)

    def stdin(self, code: str, inputs: list[Any], outputs: list[Any]) -> Finding:
        tests = json.dumps({"inputs": inputs, "outputs": outputs})
        return grading.judge_stdin(Task("stdin", f"```python\n{code}\n```", None, tests), self.context)

    def call(self, code: str, inputs: list[Any], outputs: list[Any]) -> Finding:
        tests = json.dumps({"inputs": inputs, "outputs": outputs, "fn_name": "f"})
        return grading.judge_call(Task("call", f"```python\n{code}\n```", None, tests), self.context)


def attack(host: Host, grader: Grader, code: str, facts: dict[str, str]) -> dict[str, Any]:
    """Run one attack up to twice: does it claim success, does it know the secret, what is seen on the host?"""
    started = time.monotonic()
    findings = [grader.stdin(filled(code, facts), [""], ["done"])]
    if "secret" in code.lower() or "environ" in code:
        findings.append(grader.stdin(filled(code, facts), [""], [host.secret]))
    if "daemon" in code:
        time.sleep(1.5)
    honest = grader.stdin("print(int(input()) + 1)", ["1"], ["2"])
    return {
        "outcomes": [finding.outcome for finding in findings],
        "detail": findings[0].detail,
        "effects": host.effects(),
        "honest_after": honest.outcome,
        "seconds": time.monotonic() - started,
    }


def all_programs(host: Host, grader: Grader, facts: dict[str, str], chosen: dict[str, str]) -> dict[str, Any]:
    """What became of the chosen attacks, the cheats and the honest programs, by name."""
    expected = [facts["FIRST"], facts["SECOND"]]
    attacked = {name: attack(host, grader, code, facts) for name, code in chosen.items()}
    cheats = {}
    for name, code in attacks.CHEATS_STDIN.items():
        cheats[name] = grader.stdin(filled(code, facts), ["1", "2"], expected)
    cheats |= {name: grader.call(filled(code, facts), [[1]], [expected]) for name, code in attacks.CHEATS_CALL.items()}
    honest = {name: grader.stdin(code, [given], [gives]) for name, (code, given, gives) in attacks.HONEST_STDIN.items()}
    honest |= {name: grader.call(code, [given], [gives]) for name, (code, given, gives) in attacks.HONEST_CALL.items()}
    return {
        "attacks": attacked,
        "cheats": {name: {"outcome": f.outcome, "detail": f.detail} for name, f in cheats.items()},
        "honest": {name: {"outcome": f.outcome, "detail": f.detail} for name, f in honest.items()},
        "effects_at_end": host.effects(),
    }


def main(level: str) -> None:
    """Run all of it, or at level unsafe the attacks that may be let loose, and print one JSON object."""
    harmless = {name: code for name, code in attacks.ATTACKS.items() if name in attacks.MAY_BE_LET_LOOSE}
    grading.CPU_SECONDS = 1  # type: ignore[attr-defined]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.environ["VR_SECRET"] = "planted"
    grader = Grader(level)
    with tempfile.TemporaryDirectory(prefix="vr-host-") as folder:
        host = Host(folder)
        first, second = (f"expected-{secrets.token_hex(3)}" for _ in range(2))
        try:
            with open(os.path.join(folder, "tests.json"), "w") as file:
                json.dump({"inputs": ["1", "2"], "outputs": [first, second]}, file)
            host.before = host.snapshot()
            for warm_up in ("print(1)", "import numpy\nprint(1)"):
                grader.stdin(warm_up, [""], ["1"])
            host.note_family()
            chosen = harmless if level == "unsafe" else attacks.ATTACKS
            report = {"user": os.geteuid()} | all_programs(host, grader, host.facts(first, second), chosen)
        finally:
            host.close()
            grading.close_sandboxes()
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
