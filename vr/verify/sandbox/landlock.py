"""Which files a program under test may open: a Landlock rule set, made and enforced with ctypes.

Allows reading of the interpreter, its packages and the system's libraries, and use of /dev/null and the random devices.
Allows nothing else, and no writing. Landlock does not cover chmod, utime and path sockets: seccomp refuses these. It
does not hide that a file exists or how long it is. Needs Linux 5.13 or later.
Runs inside the sandbox: standard library only.
"""

import ctypes
import os
import struct
import sys
import sysconfig

# These numbers are the same on every machine: the calls are newer than the per-machine tables.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _RULE_PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NETWORK_RIGHTS, _SCOPES = 0b11, 0b11
_PR_SET_NO_NEW_PRIVS = 38
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")

libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """Make a raw system call and return its result.

    Raises:
        OSError: the call failed.
    """
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def version() -> int:
    """The kernel's Landlock version; 0 where it has none."""
    try:
        return call(_CREATE_RULESET, None, 0, _GET_VERSION)
    except OSError:
        return 0


def readable_paths() -> list[str]:
    """The existing files and folders that a Python program must be able to read, sorted."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.prefix, "pyvenv.cfg")}
    paths |= set(_SYSTEM_LIBRARIES) | set(_SYSTEM_FILES)
    return sorted(path for path in paths if path and os.path.exists(path))


def make_ruleset() -> int:
    """Make the rule set and return its descriptor.

    Raises:
        OSError: the kernel has no Landlock.
    """
    kernel = version()
    if kernel < 1:
        raise OSError("Landlock is not available")
    files = sum(rights for since, rights in _RIGHTS_BY_VERSION.items() if since <= kernel)
    fields = [files, _NETWORK_RIGHTS if kernel >= 4 else 0, _SCOPES if kernel >= 6 else 0]
    size = 8 if kernel < 4 else 16 if kernel < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", *fields), 24)
    ruleset = call(_CREATE_RULESET, attributes, size, 0)
    for path in readable_paths():
        _allow(ruleset, path, _READ_FILE | _READ_DIR)
    for path in _DEVICES:
        _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add one path and everything beneath it to the rule set; a path that does not exist is passed over."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= ~_READ_DIR
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def enforce(ruleset: int) -> None:
    """Confine the calling thread and everything that it starts.

    Raises:
        OSError: the kernel refused.
    """
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    call(_RESTRICT_SELF, ruleset, 0)
