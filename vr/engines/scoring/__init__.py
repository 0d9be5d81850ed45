"""Exact log-probs of token ids under a model.

`forward` scores one batch, `ranks` batches in several processes, `scorer` blocks of examples; `sampler_logps` takes the
sampler's own log-probs instead.
"""
