"""Which files a program under test may open: a Landlock rule set, made and enforced with ctypes.

Reading of the interpreter, its packages and the system's libraries; /dev/null and the random devices;
nothing else, and no writing. Landlock knows nothing of chmod, of utime and of path sockets: seccomp refuses
these. It does not hide that a file exists or how long it is. Needs Linux 5.13 or later.
Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import sysconfig

# The same numbers on every machine: these calls are newer than the split tables.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
GET_VERSION, RULE_PATH_BENEATH = 1, 1
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
NETWORK_RIGHTS, SCOPES = 0b11, 0b11
PR_SET_NO_NEW_PRIVS = 38
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")

libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """A raw system call. Raises OSError."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def version() -> int:
    """The kernel's Landlock version; 0 where it has none."""
    try:
        return call(CREATE_RULESET, None, 0, GET_VERSION)
    except OSError:
        return 0


def readable_paths() -> list[str]:
    """What a Python program must be able to read: interpreter, packages, shared libraries."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.prefix, "pyvenv.cfg")}
    paths |= set(SYSTEM_LIBRARIES) | set(SYSTEM_FILES)
    return sorted(path for path in paths if path and os.path.exists(path))


def make_ruleset() -> int:
    """A descriptor of the rule set. Raises OSError where the kernel has no Landlock."""
    kernel = version()
    if kernel < 1:
        raise OSError("Landlock is not available")
    files = sum(rights for since, rights in RIGHTS_BY_VERSION.items() if since <= kernel)
    fields = [files, NETWORK_RIGHTS if kernel >= 4 else 0, SCOPES if kernel >= 6 else 0]
    size = 8 if kernel < 4 else 16 if kernel < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", *fields), 24)
    ruleset = call(CREATE_RULESET, attributes, size, 0)
    for path in readable_paths():
        allow(ruleset, path, READ_FILE | READ_DIR)
    for path in DEVICES:
        allow(ruleset, path, READ_FILE | WRITE_FILE)
    return ruleset


def allow(ruleset: int, path: str, rights: int) -> None:
    """Add one path and what lies beneath it; a path that is missing is passed over."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= ~READ_DIR
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        call(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def enforce(ruleset: int) -> None:
    """Confine the calling thread and all that it starts. Raises OSError."""
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    call(RESTRICT_SELF, ruleset, 0)
