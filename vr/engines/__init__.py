"""The engines that do the heavy work: sampling (vLLM), scoring (transformers), training (LLaMA-Factory, DeepSpeed)."""
