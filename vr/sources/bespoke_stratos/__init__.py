"""Bespoke-Stratos-17k, the training set of the paper, with the verifier of each question from the row it was made from.

`bespokelabs/Bespoke-Stratos-17k` (Apache-2.0) has a system prompt and one turn each of user and assistant. How it was
mixed: bespokelabsai/curator@8f26600, examples/bespoke-stratos-data-generation. loading.py makes the questions,
attribution.py finds the row of the source set, judging.py takes the reference answer or the tests from it.
"""

from vr.sources.bespoke_stratos.loading import load

__all__ = ["load"]
