"""Tasks of reasoning_gym."""

import json

import pytest

from vr.verify import Task, verify


@pytest.mark.slow
def test_reasoning_gym_uses_its_own_scorer():
    tests = json.dumps({"dataset": "chain_sum", "entry": {"question": "1 + 2 =", "answer": "3", "metadata": {}}})
    tasks = [
        Task("reasoning_gym", r"\boxed{3}", None, tests),
        Task("reasoning_gym", r"\boxed{4}", None, tests),
        Task("reasoning_gym", "", None, tests),
        Task("reasoning_gym", r"\boxed{3}", None, "{"),
        Task("reasoning_gym", r"\boxed{3}", None, '{"dataset": "no such", "entry": {"answer": "3"}}'),
        Task("reasoning_gym", r"\boxed{3}", None, '{"dataset": "chain_sum", "entry": 5}'),
    ]
    outcomes = [verdict.outcome for verdict in verify(tasks)]
    assert outcomes == ["correct", "wrong", "no_answer", *["unparsable_reference"] * 3]
