"""Values that cross the border of the sandbox."""

import collections
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vr.verify.sandbox.prelude import preset_globals
from vr.verify.sandbox.values import MAX_DEPTH, Other, from_json, to_json

PRESET = preset_globals()
ListNode, TreeNode = PRESET["ListNode"], PRESET["TreeNode"]
HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
    max_leaves=3,
)
VALUES = st.recursive(
    HASHABLE | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(HASHABLE, inner, max_size=2)
        | st.sets(HASHABLE)
    ),
    max_leaves=6,
)


def crossed(value):
    """A value after it has crossed the border."""
    return from_json(json.loads(json.dumps(to_json(value))), PRESET)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(VALUES)
def test_plain_data_crosses_unchanged(value):
    assert repr(crossed([value])) == repr([value]) or crossed([value]) == [value]
    assert type(crossed(value)) is type(value)


def test_an_instance_of_a_subclass_crosses_as_its_base_type():
    class Sly(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    assert type(crossed(Sly(3))) is int
    assert type(crossed(collections.Counter("a"))) is dict
    assert crossed(collections.namedtuple("P", "x y")(1, 2)) == (1, 2)


def test_iterators_and_views_become_lists():
    values = (
        (n for n in (1, 2)),
        map(abs, [1, -2]),
        range(1, 3),
        {1: 0, 2: 0}.keys(),
        dict(zip([0], [0], strict=True)).items(),
    )
    assert [crossed(value) for value in values] == [[1, 2]] * 4 + [[(0, 0)]]


def test_any_other_value_equals_nothing():
    other = crossed(object())
    assert isinstance(other, Other)
    assert other != crossed(object())


def test_lists_and_trees_of_nodes_cross_with_their_shape():
    head = crossed(ListNode(1, ListNode(2)))
    assert (head.val, head.next.val, head.next.next) == (1, 2, None)
    root = crossed(TreeNode(1, None, TreeNode(2, TreeNode(3))))
    assert (root.left, root.right.left.val, root.right.right) == (None, 3, None)


def test_a_value_that_is_nested_too_deeply_is_refused():
    nested: list = []
    for _ in range(MAX_DEPTH + 1):
        nested = [nested]
    with pytest.raises(ValueError, match="nested"):
        to_json(nested)
