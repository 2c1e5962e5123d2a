"""`python -m xmc_jax` is the command line."""

import sys

from xmc_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
