"""The verifiers of programs: reading the tests, grading, comparing. All of it runs outside the sandbox."""
