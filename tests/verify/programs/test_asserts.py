"""Judging by asserts: what passes, what fails and why, and programs that fake."""

import json
from collections.abc import Callable

import pytest

from vr.verify import Task, Verdict
from vr.verify.programs import asserts, grading
from vr.verify.registry import WorkerContext

pytestmark = pytest.mark.usefixtures("isolation_level")

HUMAN_EVAL = """
METADATA = {"author": "jt", "dataset": "test"}


def check(candidate):
    assert candidate([1.0, 2.0, 3.9], 0.3) == False
    assert candidate([1.0, 2.0, 2.2], 0.3) == True, "the second"
    assert not candidate([], 0.5)
"""
CLOSE = """
from typing import List
def close(numbers: List[float], threshold: float) -> bool:
    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])
"""


def task(program: str, source: str | list[str], name: str = "f") -> Task:
    return Task("asserts", f"```python\n{program}\n```", None, json.dumps({"asserts": source, "fn_name": name}))


@pytest.fixture
def found(judge_programs: Callable[..., list[Verdict]]) -> Callable[..., list[tuple[str, str]]]:
    """Judges programs: outcome and detail of each."""
    return lambda *tasks: [(verdict.outcome, verdict.detail) for verdict in judge_programs(*tasks)]


def test_asserts_of_human_eval(found):
    wrong = CLOSE.replace("return any", "return not any")
    assert found(task(CLOSE, HUMAN_EVAL, "close"), task(wrong, HUMAN_EVAL, "close")) == [
        ("correct", ""),
        ("wrong", "line 6: assert candidate([1.0, 2.0, 3.9], 0.3) == False"),
    ]


def test_asserts_of_mbpp_and_of_leetcode(found):
    mbpp = ["assert f((3, 4), (4, 5)) == (4,)", "assert set(f((1, 2), (3,))) == set()"]
    leetcode = "def check(candidate):\n    assert candidate(nums = [3, 3], target = 6) == [0, 1]"
    method = "class Solution:\n    def twoSum(self, nums: List[int], target: int): return {}"
    assert found(
        task("def f(a, b): return tuple(set(a) & set(b))", mbpp),
        task("def f(a, b): return list(set(a) & set(b))", mbpp),  # a list equals no tuple
        task(method.format("[0, 1]"), leetcode, "Solution().twoSum"),
        task(method.format("[1, 0]"), leetcode, "Solution().twoSum"),
    ) == [
        ("correct", ""),
        ("wrong", "line 1: assert f((3, 4), (4, 5)) == (4,)"),
        ("correct", ""),
        ("wrong", "line 2: assert candidate(nums = [3, 3], target = 6) == [0, 1]"),
    ]


def test_asserts_with_loops_helpers_of_the_program_and_calls_that_need_other_results(found):
    encode = "def encode(s): return s[1:] + s[:1]\ndef decode(s): return s[-1:] + s[:-1]"
    loop = """
def check(candidate):
    from random import choice
    for n in range(20):
        text = "".join(choice("abc") for _ in range(n))
        encoded = encode(text)
        assert candidate(encoded) == text
    found = []
    while len(found) < 3:
        found.append(candidate("ab"))
    assert found == ["ba"] * 3
"""
    assert found(task(encode, loop, "decode"), task(encode.replace("-1:", "1:"), loop, "decode")) == [
        ("correct", ""),
        ("wrong", "line 7: assert candidate(encoded) == text"),
    ]


def test_exceptions_that_the_asserts_expect(found):
    source = """
try:
    f(-1)
except ValueError:
    pass
else:
    assert False
"""
    programs = ["def f(n): int('x')", "def f(n): return n", "def f(n): {}[n]", "import os\ndef f(n): os._exit(0)"]
    assert found(*(task(program, source) for program in programs)) == [
        ("correct", ""),
        ("wrong", "line 7: assert False"),
        ("wrong", "line 3: f(-1): KeyError"),
        ("wrong", "line 3: f(-1): no result"),
    ]


def test_linked_lists_and_trees_of_leetcode_cross_the_border(found):
    source = """
def values(node): return [node.val] + values(node.next) if node else []
def check(candidate):
    assert values(candidate(ListNode(1, ListNode(2)))) == [2, 1]
    assert g(TreeNode(1, None, TreeNode(2, TreeNode(3)))).right.left.val == 3
"""
    program = """
def f(head):
    back = None
    while head: head.next, back, head = back, head, head.next
    return back
def g(root: Optional[TreeNode]): return root
"""
    assert found(task(program, source)) == [("correct", "")]


SEND = "import os\ndef f(n):\n    os.write(3, {!r})\n    os._exit(0)"


def test_helpers_of_leetcodes_asserts_for_lists_and_trees(found):
    source = """
def check(candidate):
    assert is_same_list(candidate(head = list_node([1, 2, 3])), list_node([3, 2, 1]))
    assert candidate(head = list_node([])) == None
    assert is_same_tree(mirror(tree_node([1, None, 2, 3])), tree_node([1, 2, None, None, 3]))
"""
    program = """
def f(head):
    back = None
    while head: head.next, back, head = back, head, head.next
    return back
def mirror(root):
    return root and TreeNode(root.val, mirror(root.right), mirror(root.left))
"""
    wrong = program.replace("mirror(root.right), mirror(root.left)", "mirror(root.left), mirror(root.right)")
    assert [outcome for outcome, _ in found(task(program, source), task(wrong, source))] == ["correct", "wrong"]


FAKES = {
    "an end before the asserts": "import os\nos._exit(0)",
    "an end in the function": "import os\ndef f(n): os._exit(0)",
    "SystemExit": "def f(n): raise SystemExit(0)",
    "a result that equals everything": "class E:\n    def __eq__(self, other): return True\ndef f(n): return E()",
    "a number that equals everything": "class E(int):\n    def __eq__(self, other): return True\ndef f(n): return E(0)",
    "a text that equals everything": "class E(str):\n    def __eq__(self, other): return True\ndef f(n): return E()",
    "patched builtins": "import builtins\nbuiltins.AssertionError = SystemExit\ndef f(n): return 0",
    "a search for the expected value": "import gc, sys\ndef f(n):\n    return [o for o in gc.get_objects() if o == 42]",
    "a forged result that is no value": SEND.format(b'{"value": {"set": [[]]}}'),
    "a forged verdict": SEND.format(b'{"value": ["passed", []]}'),
    "an AssertionError": "def f(n): raise AssertionError",
    "an assert of its own": "def check(candidate): pass\ndef f(n): return 0",
}


def test_programs_that_fake_do_not_pass(found):
    outcomes = found(*(task(program, "assert f(6) == 42\nassert 42 == f(6)") for program in FAKES.values()))
    assert {name: outcome for name, (outcome, _) in zip(FAKES, outcomes, strict=True)} == dict.fromkeys(FAKES, "wrong")


def test_a_program_sees_no_expected_value_and_no_assert(found):
    look = "import sys\ndef f(n):\n    open('/proc/self/mem', 'rb')\n    return 42"
    peep = "def f(n): return {'replay', 'PRESET', 'check'} & set(globals())"
    assert found(task(look, "assert f(6) == 42"), task(peep, "assert f(6) == set()")) == [
        ("wrong", "line 1: assert f(6) == 42: PermissionError"),
        ("correct", ""),
    ]


UNUSABLE = {
    "nothing": None,
    "no JSON": "assert f(1) == 1",
    "no asserts": '{"fn_name": "f"}',
    "no function": '{"asserts": "assert f(1) == 1"}',
    "a function that is no name": '{"asserts": "assert f(1) == 1", "fn_name": "f()"}',
    "lines that are none": '{"asserts": [1], "fn_name": "f"}',
    "a syntax error": '{"asserts": "assert f(1) = 1", "fn_name": "f"}',
    "no call of the program": '{"asserts": "assert 1 == 1", "fn_name": "f"}',
    "an error of its own": '{"asserts": "import no_such_module\\nassert f(1) == 1", "fn_name": "f"}',
    "other calls each time": '{"asserts": "import time\\nassert f(time.time())", "fn_name": "f"}',
    "an exit": '{"asserts": "raise SystemExit", "fn_name": "f"}',
    "empty": '{"asserts": "", "fn_name": "f"}',
}


def test_asserts_that_cannot_be_used_are_an_unparsable_reference_whatever_the_answer(judge_programs):
    for answer in ("```python\ndef f(n): return n\n```", None):
        verdicts = judge_programs(*(Task("asserts", answer, None, tests) for tests in UNUSABLE.values()))
        outcomes = {name: verdict.outcome for name, verdict in zip(UNUSABLE, verdicts, strict=True)}
        assert outcomes == dict.fromkeys(UNUSABLE, "unparsable_reference")


def test_a_program_that_keeps_the_asserts_in_a_loop_is_wrong(isolation_level, monkeypatch):
    monkeypatch.setattr(asserts, "_ALL_STEPS", 5)
    endless = task("def f(n): return 0", "n = 0\nwhile f(n) < 9: n += 1\nassert n == 9")
    finding = asserts.judge_asserts(endless, WorkerContext(isolation_level))
    grading.close_sandboxes()
    assert (finding.outcome, finding.detail) == ("wrong", "the asserts need too many or too long results")


def test_a_solution_without_a_program_has_no_answer(judge_programs):
    tests = json.dumps({"asserts": "assert f(1) == 1", "fn_name": "f"})
    assert [verdict.outcome for verdict in judge_programs(Task("asserts", "I would sort.", None, tests))] == [
        "no_answer"
    ]
