"""``python -m apdnn_lite --help``: what can be run from the command line."""
import sys

from .experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
