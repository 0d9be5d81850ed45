"""Values that cross the border of the sandbox: arguments on their way in, results on their way out.

Both travel as JSON that keeps exact types. None, bool, int, float, str and list stand for themselves; anything else is
an object of one member, the tag, that says what it is: `{"tuple": [1, 2]}`, `{"dict": [[key, value], ...]}`. Linked
lists and binary trees of LeetCode's classes `ListNode` and `TreeNode` travel as the list of their values.
What a program sends is only data: `from_json` is for the inside of a sandbox, never for the grader.
Runs inside the sandbox: standard library only.
"""

import types
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DEPTH = 150
"""Values may be nested this deeply."""

_LISTED: Any = (types.GeneratorType, map, filter, zip, range, type({}.keys()), type({}.values()), type({}.items()))


class Other:
    """In place of a value of a type that does not cross the border. It equals nothing but itself."""


def to_json(value: Any, depth: int = 0) -> Any:
    """A value as JSON of exact types; an instance of a subclass is read through the base type.

    Iterators and views become lists. A value of any other type becomes `{"other": its type}`.

    Raises:
        ValueError: it is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise ValueError("result nested too deeply")
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return _items(list.__iter__(value), depth)
    base: Any
    for base in (tuple, set, frozenset):
        if isinstance(value, base):
            return {base.__name__: _items(base.__iter__(value), depth)}
    if isinstance(value, dict):
        return {"dict": [_items(pair, depth) for pair in dict.items(value)]}
    if isinstance(value, _LISTED):
        return _items(value, depth)
    for base in (int, float, str):
        if isinstance(value, base):
            return base.__str__(value) if base is str else base.__add__(value, base(0))
    return _rare_to_json(value, depth)


def _items(values: Iterable[Any], depth: int) -> list[Any]:
    return [to_json(item, depth + 1) for item in values]


def _rare_to_json(value: Any, depth: int) -> Any:
    """Bytes, complex numbers, numpy's values, LeetCode's nodes; else the tag `other`."""
    kind = type(value)
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind.__module__ == "numpy" and hasattr(value, "tolist"):
        return to_json(value.tolist(), depth + 1)
    if kind.__name__ == "ListNode" and hasattr(value, "next"):
        return {"ListNode": _items(_list_values(value), depth)}
    if kind.__name__ == "TreeNode" and hasattr(value, "left"):
        return {"TreeNode": _items(_tree_values(value), depth)}
    return {"other": kind.__name__}


def _list_values(node: Any) -> Iterable[Any]:
    """The values of a linked list."""
    while node is not None:
        yield node.val
        node = node.next


def _tree_values(root: Any) -> Iterable[Any]:
    """The values of a binary tree level by level, None for a missing child."""
    level = [root]
    while level:
        yield from (node and node.val for node in level)
        level = [child for node in level if node for child in (node.left, node.right)]


def from_json(value: Any, classes: Mapping[str, Any]) -> Any:
    """The value that such JSON stands for.

    Args:
        value: the JSON, parsed.
        classes: the classes `ListNode` and `TreeNode` by name.

    Raises:
        ValueError, TypeError, KeyError: it is no such JSON.
    """
    if isinstance(value, list):
        return [from_json(item, classes) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "bytes":
        return bytes.fromhex(content)
    if tag == "complex":
        return complex(*content)
    if tag == "other":
        return Other()
    items = [from_json(item, classes) for item in content]
    if tag == "ListNode":
        return _linked_list(items, classes[tag])
    if tag == "TreeNode":
        return _tree(items, classes[tag])
    return _CONTAINERS[tag](items)


_CONTAINERS: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}


def _linked_list(values: list[Any], node_class: Any) -> Any:
    head = None
    for value in reversed(values):
        node = node_class(value)
        node.next, head = head, node
    return head


def _tree(values: list[Any], node_class: Any) -> Any:
    """The tree whose values come level by level, None for a missing child."""
    remaining = iter(values)
    root = node_class(next(remaining))
    level = [root]
    while level:
        below = []
        for node in level:
            for side in ("left", "right"):
                value = next(remaining, None)
                child = None if value is None else node_class(value)
                setattr(node, side, child)
                below += [child] if child else []
        level = below
    return root
