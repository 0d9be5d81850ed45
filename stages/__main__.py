"""`python -m stages`: check all of params.yaml, and machine.yaml where there is one, before anything runs.

Prints every complaint; the exit status is 1 if there is one.
"""

import sys

from stages import complaints

if __name__ == "__main__":
    if found := complaints():
        sys.exit("\n".join(found))
