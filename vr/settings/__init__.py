"""What a run is told: `params` says what is computed, `machine` how it runs, and `yaml_files` reads the files.

`entries` makes errors readable, `consistency` compares the sections of params.yaml.
"""
