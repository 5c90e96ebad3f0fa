"""A first word of a run, said before anything heavy is imported: else a slow disk looks like a program that hangs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePath

PROGRAMS = ("__main__.py", "cloakbench")
QUIET = ("--help", "--hydra-help", "--version", "--cfg", "--info", "--shell-completion")
"""Options with which nothing is run; -h, -c, -i and -sc for short."""
SHORT = ("-h", "-c", "-i", "-sc")


def greet(words: Sequence[str]) -> None:
    """Say on the error stream that a run begins; nothing if these words, as of `sys.argv`, begin none."""
    program, *rest = words or [""]
    named = bool(rest) and "=" not in rest[0] and not rest[0].startswith("-")  # another command
    shows = any(word.startswith(QUIET) or word in SHORT for word in rest)
    if PurePath(program).name in PROGRAMS and not named and not shows:
        print("CloakBench: reading the settings ...", file=sys.stderr, flush=True)
