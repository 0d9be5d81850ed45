"""The verifier of mathematical answers.

A module of this package that imports `math` gets Python's own module, because imports are absolute.
"""
