"""`python -m stages`: check all of params.yaml, and machine.yaml where there is one, before anything runs.

Prints every error; the exit status is 1 if there is one.
"""

import sys

from stages._settings import config_errors

if __name__ == "__main__" and (errors := config_errors()):
    sys.exit("\n".join(errors))
