"""The system calls that a program under test may make: a seccomp filter, built and installed with ctypes.

A list of what is allowed; all else fails with EPERM, so that a call nobody thought of is refused. Programs
may compute, read what Landlock lets them open, start threads and signal themselves. They may not start
processes, open sockets (a socketpair of their own excepted), create or change files, or touch others.
Tables for x86_64 and aarch64; on any other machine ``build_filter`` refuses with the reason.
Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import struct

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); -1 where the machine has no such call. A test compares with the kernel's headers.
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

# Allowed for certain arguments only, by the rules of build_filter.
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

CLONE_VM, CLONE_THREAD = 0x100, 0x10000
THREAD_FLAGS = CLONE_VM | CLONE_THREAD
AF_UNIX = 1
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: none that writes to a terminal."""
FCNTLS = (0, 1, 2, 3, 4, 5, 1030, 1032)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ. Not F_SETOWN and
F_SETSIG: with these the kernel sends a signal of the program's choice to a process of its choice."""
PRCTLS = (3, 15, 16, 0x53564D41)
"""PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA."""
X32_BIT = 0x40000000
ANY_PID = 0x7FABCDEF
"""No process has a number so high."""

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
ALLOW, KILL_PROCESS, FAIL_WITH = 0x7FFF0000, 0x80000000, 0x00050000
OFFSET_NUMBER, OFFSET_ARCHITECTURE, OFFSET_ARGUMENTS = 0, 4, 16

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """One BPF instruction; jumps count the instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def column_of(machine: str) -> int:
    """The table's column of a machine. Raises NotImplementedError for a machine without a table."""
    if machine not in AUDIT_ARCH:
        raise NotImplementedError(f"no system call table for {machine}")
    return list(AUDIT_ARCH).index(machine)


def argument_is(index: int, allowed: tuple[int, ...], *, high_too: bool = False) -> list[bytes]:
    """Return ALLOW if argument ``index`` is one of the values, EPERM otherwise; ends the program.

    The kernel cuts these arguments to 32 bits, so the low half decides; ``high_too`` is for pointers.
    """
    low = OFFSET_ARGUMENTS + 8 * index
    lines = [instruction(LOAD, 0, 0, low)]
    for position, value in enumerate(allowed):
        lines.append(instruction(JUMP_EQUAL, len(allowed) - position, 0, value))
    refuse = instruction(RETURN, 0, 0, FAIL_WITH | errno.EPERM)
    accept = instruction(RETURN, 0, 0, ALLOW)
    if high_too:
        accept = b"".join(
            [
                instruction(LOAD, 0, 0, low + 4),
                instruction(JUMP_EQUAL, 1, 0, 0),
                refuse,
                accept,
            ]
        )
    return [*lines, refuse, *[accept[i : i + 8] for i in range(0, len(accept), 8)]]


def thread_only() -> list[bytes]:
    """Return ALLOW if clone's flags make a thread of this process, EPERM otherwise."""
    return [
        instruction(LOAD, 0, 0, OFFSET_ARGUMENTS),
        instruction(AND, 0, 0, THREAD_FLAGS),
        instruction(JUMP_EQUAL, 1, 0, THREAD_FLAGS),
        instruction(RETURN, 0, 0, FAIL_WITH | errno.EPERM),
        instruction(RETURN, 0, 0, ALLOW),
    ]


def build_filter(pid: int, machine: str | None = None) -> bytes:
    """The BPF program for the process ``pid``, the only one that it may signal.

    Raises NotImplementedError for a machine without a table.
    """
    template = filter_template(machine or platform.machine())
    return template.replace(struct.pack("=I", ANY_PID), struct.pack("=I", pid))


@functools.cache
def filter_template(machine: str) -> bytes:
    """The BPF program with ANY_PID in the place of the process number: built once, before the forks."""
    pid = ANY_PID
    column = column_of(machine)
    lines = [
        instruction(LOAD, 0, 0, OFFSET_ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        instruction(RETURN, 0, 0, KILL_PROCESS),
        instruction(LOAD, 0, 0, OFFSET_NUMBER),
        instruction(JUMP_AT_LEAST, 0, 1, X32_BIT),
        instruction(RETURN, 0, 0, KILL_PROCESS),
    ]
    for numbers in ALLOWED.values():
        if numbers[column] >= 0:
            lines += [instruction(JUMP_EQUAL, 0, 1, numbers[column]), instruction(RETURN, 0, 0, ALLOW)]
    for numbers in ABSENT.values():
        lines += [
            instruction(JUMP_EQUAL, 0, 1, numbers[column]),
            instruction(RETURN, 0, 0, FAIL_WITH | errno.ENOSYS),
        ]
    rules = {
        "clone": thread_only(),
        "kill": argument_is(0, (pid,)),
        "tgkill": argument_is(0, (pid,)),
        "prlimit64": argument_is(0, (0, pid)),
        "ioctl": argument_is(1, IOCTLS),
        "fcntl": argument_is(1, FCNTLS),
        "prctl": argument_is(0, PRCTLS),
        "socketpair": argument_is(0, (AF_UNIX,)),
        "sendto": argument_is(4, (0,), high_too=True),
    }
    for name, rule in rules.items():
        lines += [instruction(JUMP_EQUAL, 0, len(rule), CHECKED[name][column]), *rule]
    lines.append(instruction(RETURN, 0, 0, FAIL_WITH | errno.EPERM))
    return b"".join(lines)


def install(program: bytes) -> None:
    """Confine the calling thread and all that it starts. Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header, len(header)), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
