"""Hostile, cheating and legitimate programs, one or more for each kind that the sandbox must tell apart.

The programs themselves are text files in `programs/`. An attack prints `done` (or the secret it is after)
only if it got through; the driver also looks at the host. Facts of the host are put in for `@NAME@`: a
secret file, a folder anyone may write to, ports, sockets, a victim process with a secret in its environment.
"""

import json
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
SYSTEM_CALLS = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nSYS = @SYSCALLS@\n"


def sections(name: str) -> dict[str, str]:
    """The programs of a file, by name."""
    _, *parts = (PROGRAMS / name).read_text().split("\n### ")
    return {title: body for title, _, body in (part.partition("\n") for part in parts)}


def with_expectations(name: str) -> dict[str, tuple[str, Any, Any]]:
    """(program, what it is given, what it must give) by name."""
    found = {}
    for title, body in sections(name).items():
        given, expected, code = body.split("\n", 2)
        found[title] = (code, json.loads(given), json.loads(expected))
    return found


ATTACKS = sections("attacks.txt")
CHEATS_STDIN = sections("cheats_stdin.txt")
CHEATS_CALL = sections("cheats_call.txt")
HONEST_STDIN = with_expectations("honest_stdin.txt")
HONEST_CALL = with_expectations("honest_call.txt")

MAY_BE_LET_LOOSE = frozenset(
    {
        "tcp_connect",
        "tcp_listen",
        "udp_send",
        "abstract_socket",
        "path_socket",
        "path_datagram_over_socketpair",
        "read_secret_file",
        "read_secret_through_proc_root",
        "read_host_passwords",
        "list_a_folder",
        "write_new_file",
        "append_to_file",
        "truncate_file",
        "chmod_file",
        "touch_file",
        "make_links_and_folders",
        "read_environment_of_parents",
        "read_command_line_of_others",
        "read_descriptors_of_others",
        "daemon_that_outlives",
        "exec_a_shell",
        "spawn_a_shell",
        "fill_shared_memory",
        "held_open_stdout",
    }
)
"""Harmless enough to run with no isolation at all: there each must succeed, or it would prove nothing."""
