"""The paper's method without an engine: weights, selection of training rows, evaluation."""
