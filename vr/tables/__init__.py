"""The tables of the pipeline: `schemas` declares every column, `parquet` reads and writes validated files.

`vocabulary` holds the words that columns may contain, `files` makes files and folders that appear whole.
This package imports nothing by itself, so that a process that needs a word alone loads no table library.
"""
