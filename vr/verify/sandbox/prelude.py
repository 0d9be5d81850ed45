"""The names that published solutions take for granted: programs under test start with these names in their globals.

They are those of LiveCodeBench's harness, so that a solution that is right there is right here, LeetCode's classes of
nodes, and the sorted containers that LeetCode has, where they are installed. A name of Python's own always means what
it means in a plain program: `pow` and `open` are not those of `math`, `operator` or `io`, and `Counter` is the class,
not its annotation.
Runs inside the sandbox: standard library only, and sortedcontainers.
"""

import builtins
from typing import Any

_PRESET = """
from typing import *
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
import bisect, collections, copy, datetime, fractions, functools, heapq, io, itertools, json, math, operator, random, re
import statistics, string, sys, time

try:
    from sortedcontainers import SortedDict, SortedList, SortedSet
except ImportError:
    pass

class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val = val
        self.left = left
        self.right = right
"""
_OF_THE_SERVER = {"stdin", "stdout", "stderr"}
"""Names of `sys` that the server knows other things by than the program."""


def preset_globals() -> dict[str, Any]:
    """The preset names and what they stand for. Imported once, by the fork server."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(_PRESET, namespace)
    hidden = {"__name__", "__builtins__", *dir(builtins), *_OF_THE_SERVER}
    return {name: value for name, value in namespace.items() if name not in hidden}
