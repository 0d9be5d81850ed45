"""The library of Variational Reasoning (arXiv 2509.22637): flat functions on tables, token ids and models.

It knows no DVC and no fixed path; `stages/` holds the scripts that do.
"""
