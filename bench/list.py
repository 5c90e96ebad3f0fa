"""Every registered method and metric, with what it is and where it comes from.

python -m bench.list [defenses | attacks | countermeasures | data | loggers | metrics] [my_cloak.py ...]

Plug-in files or modules are imported first. A defense's effort is its network evaluations a photo, of four photos; with
`effort=equal` all have the same.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from attacks import ATTACKS
from bench.core.cli import guarded
from bench.core.plugins import import_plugins
from bench.core.registry import Entry, Names
from bench.core.terminal import terminal
from bench.data import SOURCES
from bench.loggers import LOGGERS
from countermeasures import COUNTERMEASURES
from defenses import DEFENSES
from metrics import METRICS

REGISTRIES: dict[str, Names[Any]] = {
    "defenses": DEFENSES,
    "attacks": ATTACKS,
    "countermeasures": COUNTERMEASURES,
    "data": SOURCES,
    "loggers": LOGGERS,
    "metrics": METRICS,
}


def main(arguments: Sequence[str]) -> int:
    """Print the list."""
    if any(argument.startswith("-") for argument in arguments):
        print(__doc__)
        return 0
    chosen = [word for word in arguments if word in REGISTRIES]
    import_plugins(word for word in arguments if word not in REGISTRIES)
    width, lines = shutil.get_terminal_size().columns, []
    for kind in chosen or REGISTRIES:
        entries = REGISTRIES[kind].entries()
        column = max(len(entry.name) for entry in entries)
        lines += [
            f"{REGISTRIES[kind].kind}:",
            *(line for entry in entries for line in _lines(entry, _effort(kind, entry), column, width)),
            "",
        ]
    terminal().print("\n".join(lines), highlight=False, soft_wrap=True, end="")
    return 0


def _effort(kind: str, entry: Entry) -> str:
    """What an iterative cloak costs with its presets for the embedded and for other models; empty for all else."""
    if kind != "defenses" or entry.origin == "broken" or not (cls := DEFENSES.get(entry.name)).loop:
        return ""
    try:
        embedded, others = (cls().resolved(family).effort for family in ("facelet", "sd"))
    except TypeError:  # a plug-in with settings that have no default
        return ""
    return f"Effort {embedded} ({others} at full size)."


def _lines(entry: Entry, effort: str, column: int, width: int) -> list[str]:
    """A name beside what it is, or above it where that would leave no room; no word is broken.

    Args:
        entry: the method or metric.
        effort: a further sentence, or nothing.
        column: the width of the names.
        width: that of the terminal.
    """
    name = f"  {entry.name:{column}}  "
    beside = width - len(name) >= 40
    indent = " " * (len(name) if beside else 4)
    text = " ".join(filter(None, (entry.description, entry.paper and f"{entry.paper}.", effort)))
    space = max(width - len(indent), 20)
    lines = textwrap.wrap(text, space, break_long_words=False, break_on_hyphens=False) or [""]
    if entry.origin != "cloakbench":
        lines.append(f"from {entry.origin}")
    first, *others = lines if beside else ["", *lines]
    return [f"{name}{first}".rstrip(), *(f"{indent}{line}" for line in others)]


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
