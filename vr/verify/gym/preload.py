"""Loads reasoning_gym into the server of a sandbox, once, before the answers are scored.

Two of its data sets need cellpylib, which loads matplotlib: 1.6 s, and a folder that it can write in, which a sandbox
does not have. No scorer draws, so empty modules stand in its place.
Runs inside the sandbox.
"""

import importlib
import sys
import types

_DRAWING = (
    *("matplotlib", "matplotlib.pyplot", "matplotlib.animation", "matplotlib.collections"),
    *("mpl_toolkits", "mpl_toolkits.mplot3d"),
)

for name in _DRAWING:
    sys.modules[name] = types.ModuleType(name)
sys.modules["mpl_toolkits.mplot3d"].Axes3D = None  # type: ignore[attr-defined]
importlib.import_module("reasoning_gym")
