"""Text drawn from a model: `sampler` draws, `engine` opens vLLM for it."""

from vr.engines.sampling.sampler import Request, Sample, request_seed, sample

__all__ = ["Request", "Sample", "request_seed", "sample"]
