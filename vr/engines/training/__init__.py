"""Supervised training with weighted rows, by LLaMA-Factory under DeepSpeed."""
