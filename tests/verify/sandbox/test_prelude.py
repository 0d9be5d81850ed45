"""The names that programs start with."""

import collections
import datetime
import random

from vr.verify.sandbox.prelude import preset_globals

# What the harness of LiveCodeBench imports with a star, one or two names of each module.
TAKEN_FOR_GRANTED = """
ascii_lowercase findall search timedelta Counter OrderedDict defaultdict deque heappush heappop bisect_left insort
deepcopy gcd lcm inf isqrt comb perm ceil sqrt randint shuffle mean median accumulate permutations product pairwise
cache cmp_to_key lru_cache reduce itemgetter xor StringIO BytesIO maxsize setrecursionlimit dumps loads List Optional
ListNode TreeNode
"""


def test_programs_start_with_the_names_that_published_solutions_take_for_granted():
    assert set(TAKEN_FOR_GRANTED.split()) - preset_globals().keys() == set()


def test_a_name_that_is_a_module_and_something_in_it_means_the_module():
    preset = preset_globals()
    assert (preset["random"], preset["datetime"], preset["time"].__name__) == (random, datetime, "time")
    assert preset["Counter"] is collections.Counter


def test_pythons_own_names_keep_their_meaning():
    assert (
        preset_globals().keys() & {"pow", "open", "compile", "abs", "sum", "exit", "__name__", "__builtins__"} == set()
    )


def test_the_streams_of_the_server_are_not_handed_to_programs():
    assert preset_globals().keys() & {"stdin", "stdout", "stderr"} == set()
