"""``python -m gensr``."""

import sys

from gensr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
