"""`python -m bench.report`: a run's tables again."""

from __future__ import annotations

import sys

from bench.core.cli import guarded
from bench.report.document import __doc__ as text
from bench.report.document import main

__doc__ = text

if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
