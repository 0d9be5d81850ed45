"""What comes from outside: problems and benchmarks, and the models that trainings start from."""
