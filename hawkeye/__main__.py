"""`python -m hawkeye` is the `hawkeye` command."""

import sys

from hawkeye.cli import main

sys.exit(main())
