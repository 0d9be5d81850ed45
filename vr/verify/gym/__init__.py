"""The kind reasoning_gym: `judge` hands an entry and an answer to `program`, which runs inside the sandbox."""
