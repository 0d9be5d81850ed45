"""The verifiers of programs: reading the tests, grading, comparing. All but `replay` runs outside the sandbox."""
