"""What a run is told: `params` says what is computed, `machine` how it runs. Neither reads a file."""
