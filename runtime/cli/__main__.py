"""`python -m hyt.runtime.cli` is hyt-run."""

import sys

from hyt.runtime.cli import main

sys.exit(main())
