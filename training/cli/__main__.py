"""`python -m hyt.training.cli`, for launchers that start modules (accelerate launch -m)."""

import sys

from hyt.training.cli import main

if __name__ == "__main__":
    sys.exit(main())
