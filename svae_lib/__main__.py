"""``python -m svae_lib`` is the command ``svae``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
