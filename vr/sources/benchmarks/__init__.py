"""Held-out questions: those of the miniature, of reasoning_gym's generators, and of the published sets in catalogue.py.

To add a published set, add one entry to `CATALOGUE`.
"""

from vr.sources.benchmarks.catalogue import CATALOGUE
from vr.sources.benchmarks.loading import load, place, require_source

__all__ = ["CATALOGUE", "load", "place", "require_source"]
