"""The sandbox in which programs under test run.

`server`, `child`, `prelude`, `values`, `limits`, `confine`, `landlock` and `seccomp` run inside it: they import only
Python's standard library and each other. `sandbox` and `isolation` run outside.
"""
