"""All that a model is shown: markers, system prompts, token ids, and the examples that are scored and trained on."""
