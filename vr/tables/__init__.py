"""The tables of the pipeline. `schemas` declares every column; `parquet` reads and writes validated files.

`keys` finds rows by their problem, `files` makes files and folders that appear whole, and `vocabulary` holds the words
that columns may contain. `python -m vr.tables` prints all columns.
This package imports nothing by itself, so a process that needs a word alone loads no table library.
"""
