"""One thin script per DVC stage: `python -m stages.NAME PATHS...`. Paths are arguments; params.yaml holds the rest.

`_settings` reads params.yaml and machine.yaml, `_run` turns a stage's function into a command. `python -m stages`
checks all that these files ask for (`_check`).
"""
