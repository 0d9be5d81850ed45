"""The tables of system calls against the kernel's headers, and the filter as a program that can be run."""

import errno
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from vr.verify.sandbox import seccomp
from vr.verify.sandbox.child import PACKAGE_ROOT

HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    "aarch64": [Path("/usr/include/asm-generic/unistd.h"), Path("/usr/include/aarch64-linux-gnu/asm/unistd_64.h")],
}
ALL = {**seccomp.ALLOWED, **seccomp.CHECKED, **seccomp.ABSENT}
PID = 4321


def header_numbers(machine: str) -> dict[str, int]:
    """Every call that the kernel's header names, with its number."""
    path = next((path for path in HEADERS[machine] if path.exists()), None)
    if path is None:
        pytest.skip(f"no kernel headers for {machine} here")
    text = path.read_text()
    found = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", text)}
    # In the generic header some calls have a name of their own for 64-bit machines: __NR3264_lseek.
    found |= {name: int(number) for name, number in re.findall(r"#define __NR3264_(\w+)\s+(\d+)", text)}
    return found | ({"newfstatat": found["fstatat"]} if "fstatat" in found else {})


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_numbers_are_those_of_the_kernel_headers(machine):
    header = header_numbers(machine)
    column = seccomp.column_of(machine)
    known = {name: numbers[column] for name, numbers in ALL.items() if name in header or numbers[column] >= 0}
    too_new = {name for name in known if name not in header and known[name] > max(header.values())}
    wrong = {name: (number, header.get(name)) for name, number in known.items() if header.get(name) != number}
    assert {name: pair for name, pair in wrong.items() if name not in too_new} == {}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_number_stands_twice(machine):
    numbers = [pair[seccomp.column_of(machine)] for pair in ALL.values()]
    present = [number for number in numbers if number >= 0]
    assert len(present) == len(set(present))


def test_a_machine_without_a_table_is_refused_with_the_reason():
    with pytest.raises(NotImplementedError, match="no system call table for riscv64"):
        seccomp.build_filter(PID, "riscv64")


def decide(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    """Run a BPF filter on a system call, as the kernel would, and return its verdict."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(list(arguments) + [0] * 6)[:6])
    accumulator = at = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        if code == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == seccomp.AND:
            accumulator &= value
        elif code == seccomp.JUMP_EQUAL:
            at += if_true if accumulator == value else if_false
        elif code == seccomp.JUMP_AT_LEAST:
            at += if_true if accumulator >= value else if_false
        else:
            assert code == seccomp.RETURN
            return int(value)


REFUSED = seccomp.FAIL_WITH | errno.EPERM
MISSING = seccomp.FAIL_WITH | errno.ENOSYS
THREAD = 0x3D0F00  # the flags of pthread_create
CASES = [
    ("read", (), seccomp.ALLOW),
    ("openat", (), seccomp.ALLOW),
    ("clone", (THREAD,), seccomp.ALLOW),
    ("clone", (17,), REFUSED),  # SIGCHLD alone: a fork
    ("clone", (0x4111,), REFUSED),  # CLONE_VM | CLONE_VFORK: a vfork
    ("clone", (0x10000,), REFUSED),  # CLONE_THREAD without CLONE_VM
    ("clone3", (), MISSING),
    ("kill", (PID, 9), seccomp.ALLOW),
    ("kill", (PID + 1, 9), REFUSED),
    ("kill", (2**32 - 1, 9), REFUSED),  # -1: everyone
    ("tgkill", (PID, 1, 9), seccomp.ALLOW),
    ("tgkill", (1, 1, 9), REFUSED),
    ("prlimit64", (0,), seccomp.ALLOW),
    ("prlimit64", (1,), REFUSED),
    ("ioctl", (0, 0x5401), seccomp.ALLOW),
    ("ioctl", (0, 0x5412), REFUSED),  # TIOCSTI
    ("fcntl", (0, 4), seccomp.ALLOW),
    ("fcntl", (0, 8), REFUSED),  # F_SETOWN
    ("prctl", (15,), seccomp.ALLOW),
    ("prctl", (22,), REFUSED),
    ("socketpair", (1,), seccomp.ALLOW),
    ("socketpair", (2,), REFUSED),
    ("sendto", (3, 1, 1, 0, 0), seccomp.ALLOW),
    ("sendto", (3, 1, 1, 0, 0x7F00), REFUSED),
    ("sendto", (3, 1, 1, 0, 0x7F00_0000_0000), REFUSED),  # an address with a low half of zero
]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize(("name", "arguments", "verdict"), CASES)
def test_the_filter_decides_by_call_and_argument(machine, name, arguments, verdict):
    program = seccomp.build_filter(PID, machine)
    number = ALL[name][seccomp.column_of(machine)]
    assert decide(program, number, seccomp.AUDIT_ARCH[machine], *arguments) == verdict


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [
        # execve, execveat, ptrace, socket, connect, sendmsg, unshare, mount, chmod, fork, memory of others, unknown
        ("x86_64", [59, 322, 101, 41, 42, 46, 272, 165, 90, 57, 310, 400, 999]),
        ("aarch64", [221, 281, 117, 198, 203, 211, 97, 40, 53, 270, 400, 999]),
    ],
)
def test_what_is_not_listed_is_refused(machine, numbers):
    program = seccomp.build_filter(PID, machine)
    verdicts = {decide(program, number, seccomp.AUDIT_ARCH[machine]) for number in numbers}
    assert verdicts == {REFUSED}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_only_a_clone_is_held_until_there_is_leave(machine):
    program = seccomp.hold_filter(machine)
    column, architecture = seccomp.column_of(machine), seccomp.AUDIT_ARCH[machine]
    assert decide(program, seccomp.CHECKED["clone"][column], architecture, THREAD) == seccomp.ASK
    numbers = [pair[column] for name, pair in ALL.items() if name != "clone" and pair[column] >= 0]
    assert {decide(program, number, architecture) for number in numbers} == {seccomp.ALLOW}
    assert header_numbers(machine)["seccomp"] == seccomp.SECCOMP[machine]


def test_where_another_filter_asks_for_leave_already_the_kernel_says_so():
    code = "import platform\nfrom vr.verify.sandbox import seccomp\nmachine = platform.machine()\n"
    code += "seccomp.hold_clones(machine)\ntry: seccomp.hold_clones(machine)\n"
    code += "except OSError as error: print(error.errno)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EBUSY}\n"


def test_calls_of_another_architecture_kill():
    program = seccomp.build_filter(PID, "x86_64")
    i386 = 0x40000003
    assert decide(program, 3, i386) == seccomp.KILL_PROCESS
    assert decide(program, seccomp.X32_BIT | 0, seccomp.AUDIT_ARCH["x86_64"]) == seccomp.KILL_PROCESS
