"""`python -m stages`: check all that params.yaml and machine.yaml ask for, before anything runs.

Prints every error; the exit status is 1 if there is one.
"""

import sys

from stages._check import errors
from stages._settings import one_line

if __name__ == "__main__" and (found := errors()):
    sys.exit("\n".join(map(one_line, found)))
