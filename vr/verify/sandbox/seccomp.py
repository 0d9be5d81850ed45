"""The system calls that a program under test may make: a seccomp filter, built and installed with ctypes.

The filter lists what is allowed. Everything else fails with EPERM, so that a call that nobody thought of is refused.
Programs may compute, read what Landlock lets them open, start threads and signal themselves. They may not start
processes, open sockets (except a socketpair of their own), create or change files, or touch other processes.
There are tables for x86_64 and aarch64; on any other machine `build_filter` refuses and says why.
Runs inside the sandbox: standard library only.
"""

import ctypes
import errno
import functools
import platform
import struct

from vr.verify.sandbox import landlock

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); -1 where the machine has no such call. A test compares the numbers with the kernel's headers.
ALLOWED: dict[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "newfstatat": (262, 79),
    "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "futex": (202, 98), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "openat": (257, 56), "open": (2, -1), "stat": (4, -1), "lstat": (6, -1), "poll": (7, -1), "ppoll": (271, 73),
    "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69),
    "pwritev": (296, 70), "preadv2": (327, 286), "pwritev2": (328, 287), "access": (21, -1),
    "faccessat": (269, 48), "faccessat2": (439, 439), "statx": (332, 291), "pipe": (22, -1), "pipe2": (293, 59),
    "select": (23, -1), "pselect6": (270, 72), "sched_yield": (24, 124), "mremap": (25, 216), "msync": (26, 227),
    "mincore": (27, 232), "madvise": (28, 233), "dup": (32, 23), "dup2": (33, -1), "dup3": (292, 24),
    "pause": (34, -1), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "getitimer": (36, 102),
    "setitimer": (38, 103), "alarm": (37, -1), "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173),
    "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getgroups": (115, 158), "getresuid": (118, 148), "getresgid": (120, 150), "getpgrp": (111, -1),
    "getpgid": (121, 155), "getsid": (124, 156), "recvfrom": (45, 207), "shutdown": (48, 210),
    "getsockname": (51, 204), "getpeername": (52, 205), "getsockopt": (55, 209), "setsockopt": (54, 208),
    "exit": (60, 93), "exit_group": (231, 94), "wait4": (61, 260), "waitid": (247, 95), "uname": (63, 160),
    "fsync": (74, 82), "getcwd": (79, 17), "getdents64": (217, 61), "readlink": (89, -1), "readlinkat": (267, 78),
    "gettimeofday": (96, 169), "time": (201, -1), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "getrlimit": (97, 163), "setrlimit": (160, 164), "getrusage": (98, 165), "times": (100, 153),
    "sysinfo": (99, 179), "getcpu": (309, 168), "getrandom": (318, 278), "sigaltstack": (131, 132),
    "rt_sigpending": (127, 136), "rt_sigsuspend": (130, 133), "rt_sigtimedwait": (128, 137),
    "arch_prctl": (158, -1), "set_tid_address": (218, 96), "set_robust_list": (273, 99),
    "get_robust_list": (274, 100), "rseq": (334, 293), "membarrier": (324, 283), "futex_waitv": (449, 449),
    "sched_getaffinity": (204, 123), "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126), "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21), "epoll_wait": (232, -1), "epoll_pwait": (281, 22), "eventfd2": (290, 19),
    "timerfd_create": (283, 85), "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87),
    "timer_create": (222, 107), "timer_settime": (223, 110), "timer_delete": (226, 111),
    "restart_syscall": (219, 128), "close_range": (436, 436), "fadvise64": (221, 223), "statfs": (137, 43),
    "fstatfs": (138, 44),
}  # fmt: skip

# Allowed for certain arguments only: see `_rules`.
CHECKED: dict[str, tuple[int, int]] = {
    "clone": (56, 220),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "prctl": (157, 167),
    "socketpair": (53, 199),
    "sendto": (44, 206),
}

# Answered with ENOSYS, so that the C library falls back to an older call that can be checked.
ABSENT: dict[str, tuple[int, int]] = {"clone3": (435, 435), "memfd_create": (319, 279), "io_uring_setup": (425, 425)}

_CLONE_VM, _CLONE_THREAD = 0x100, 0x10000
_THREAD_FLAGS = _CLONE_VM | _CLONE_THREAD
_AF_UNIX = 1
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. None of them writes to a terminal."""
_FCNTLS = (0, 1, 2, 3, 4, 5, 1030, 1032)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ. Not F_SETOWN and F_SETSIG:
with these two a program could have the kernel send a signal of its choice to a process of its choice."""
_PRCTLS = (3, 15, 16, 0x53564D41)
"""PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA."""
X32_BIT = 0x40000000
_ANY_PID = 0x7FABCDEF
"""No process has a number so high."""

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
ALLOW, KILL_PROCESS, FAIL_WITH, ASK = 0x7FFF0000, 0x80000000, 0x00050000, 0x7FC00000
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16

SECCOMP = {"x86_64": 317, "aarch64": 277}
"""The number of the call `seccomp`, by machine."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """One BPF instruction; a jump gives the number of instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def column_of(machine: str) -> int:
    """The column of the tables for a machine, such as "x86_64".

    Raises:
        NotImplementedError: there is no table for this machine.
    """
    if machine not in AUDIT_ARCH:
        raise NotImplementedError(f"no system call table for {machine}")
    return list(AUDIT_ARCH).index(machine)


def _argument_is(index: int, allowed: tuple[int, ...], *, high_too: bool = False) -> list[bytes]:
    """Instructions that end the filter: ALLOW if argument `index` is one of `allowed`, EPERM otherwise.

    The kernel cuts these arguments to 32 bits, so the low half decides. With `high_too`, for pointers, the high half
    must be 0 as well.
    """
    low = _OFFSET_ARGUMENTS + 8 * index
    lines = [_instruction(LOAD, 0, 0, low)]
    for position, value in enumerate(allowed):
        lines.append(_instruction(JUMP_EQUAL, len(allowed) - position, 0, value))
    refuse = _instruction(RETURN, 0, 0, FAIL_WITH | errno.EPERM)
    accept = _instruction(RETURN, 0, 0, ALLOW)
    if high_too:
        accept = b"".join(
            [
                _instruction(LOAD, 0, 0, low + 4),
                _instruction(JUMP_EQUAL, 1, 0, 0),
                refuse,
                accept,
            ]
        )
    return [*lines, refuse, *[accept[i : i + 8] for i in range(0, len(accept), 8)]]


def _thread_only() -> list[bytes]:
    """Instructions that end the filter: ALLOW if the flags of clone make a thread of this process, EPERM otherwise."""
    return [
        _instruction(LOAD, 0, 0, _OFFSET_ARGUMENTS),
        _instruction(AND, 0, 0, _THREAD_FLAGS),
        _instruction(JUMP_EQUAL, 1, 0, _THREAD_FLAGS),
        _instruction(RETURN, 0, 0, FAIL_WITH | errno.EPERM),
        _instruction(RETURN, 0, 0, ALLOW),
    ]


def build_filter(pid: int, machine: str | None = None) -> bytes:
    """The BPF program of the process `pid`, which may signal no process but itself.

    Raises:
        NotImplementedError: there is no table for this machine.
    """
    template = filter_template(machine or platform.machine())
    return template.replace(struct.pack("=I", _ANY_PID), struct.pack("=I", pid))


def _rules(pid: int) -> dict[str, list[bytes]]:
    """The instructions that decide on the calls of CHECKED, by name."""
    return {
        "clone": _thread_only(),
        "kill": _argument_is(0, (pid,)),
        "tgkill": _argument_is(0, (pid,)),
        "prlimit64": _argument_is(0, (0, pid)),
        "ioctl": _argument_is(1, _IOCTLS),
        "fcntl": _argument_is(1, _FCNTLS),
        "prctl": _argument_is(0, _PRCTLS),
        "socketpair": _argument_is(0, (_AF_UNIX,)),
        "sendto": _argument_is(4, (0,), high_too=True),
    }


@functools.cache
def filter_template(machine: str) -> bytes:
    """The BPF program with _ANY_PID in place of the process number; built once, before the forks.

    Raises:
        NotImplementedError: there is no table for this machine.
    """
    column = column_of(machine)
    lines = [
        _instruction(LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        _instruction(JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        _instruction(RETURN, 0, 0, KILL_PROCESS),
        _instruction(LOAD, 0, 0, _OFFSET_NUMBER),
        _instruction(JUMP_AT_LEAST, 0, 1, X32_BIT),
        _instruction(RETURN, 0, 0, KILL_PROCESS),
    ]
    for numbers in ALLOWED.values():
        if numbers[column] >= 0:
            lines += [_instruction(JUMP_EQUAL, 0, 1, numbers[column]), _instruction(RETURN, 0, 0, ALLOW)]
    for numbers in ABSENT.values():
        lines += [
            _instruction(JUMP_EQUAL, 0, 1, numbers[column]),
            _instruction(RETURN, 0, 0, FAIL_WITH | errno.ENOSYS),
        ]
    for name, rule in _rules(_ANY_PID).items():
        lines += [_instruction(JUMP_EQUAL, 0, len(rule), CHECKED[name][column]), *rule]
    lines.append(_instruction(RETURN, 0, 0, FAIL_WITH | errno.EPERM))
    return b"".join(lines)


def install(program: bytes) -> None:
    """Confine the calling thread and everything that it starts.

    Raises:
        OSError: the kernel refused.
    """
    code = ctypes.create_string_buffer(program, len(program))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _header(code), 0, 0)


@functools.cache
def hold_filter(machine: str) -> bytes:
    """The BPF program that holds every clone until the listener has answered, and allows everything else."""
    return b"".join(
        [
            _instruction(LOAD, 0, 0, _OFFSET_NUMBER),
            _instruction(JUMP_EQUAL, 0, 1, CHECKED["clone"][column_of(machine)]),
            _instruction(RETURN, 0, 0, ASK),
            _instruction(RETURN, 0, 0, ALLOW),
        ]
    )


def hold_clones(machine: str) -> int:
    """Hold every clone of the calling thread, and of what it starts; return the descriptor that asks for leave.

    A filter cannot count. This one is installed beside that of `install`, and of two filters the stricter one decides:
    what `install` refuses stays refused, whatever the answer.

    Raises:
        OSError: the kernel refused; EBUSY where a filter of the surrounding container has such a descriptor already.
    """
    program = hold_filter(machine)
    code = ctypes.create_string_buffer(program, len(program))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return landlock.call(SECCOMP[machine], _SET_MODE_FILTER, _NEW_LISTENER, _header(code))


def _header(code: "ctypes.Array[ctypes.c_char]") -> "ctypes.Array[ctypes.c_char]":
    """The `struct sock_fprog` of a BPF program, which must stay alive while this is in use."""
    return ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(code)), 16)


def _prctl(*arguments: object) -> None:
    if landlock.libc.prctl(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
