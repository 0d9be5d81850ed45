"""What a run is told: `params` says what is computed, `machine` how it runs. Nothing here reads a file.

`entries` makes errors readable, `consistency` compares the sections of params.yaml.
"""
