"""Exact log-probs of token ids under a model: `forward` scores one batch, `scorer` blocks of rows, `ranks` in parallel."""
