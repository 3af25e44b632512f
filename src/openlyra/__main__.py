"""``python -m openlyra``: the command line."""

import sys

from openlyra.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
