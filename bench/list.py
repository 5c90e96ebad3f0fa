"""Every registered method, with what it is and where it comes from.

python -m bench.list [defenses | attacks | countermeasures | data | loggers] [my_cloak.py ...]

Plug-in files or modules are imported first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from attacks import ATTACKS
from bench.cli import guarded
from bench.data import SOURCES
from bench.loggers import LOGGERS
from bench.plugins import import_plugins
from bench.registry import Registry
from countermeasures import COUNTERMEASURES
from defenses import DEFENSES

REGISTRIES: dict[str, Registry[Any]] = {
    "defenses": DEFENSES,
    "attacks": ATTACKS,
    "countermeasures": COUNTERMEASURES,
    "data": SOURCES,
    "loggers": LOGGERS,
}


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    if any(argument.startswith("-") for argument in arguments):
        print(__doc__)
        return 0
    chosen = [word for word in arguments if word in REGISTRIES]
    import_plugins(word for word in arguments if word not in REGISTRIES)
    entries = [(REGISTRIES[kind].kind, entry) for kind in chosen or REGISTRIES for entry in REGISTRIES[kind].entries()]
    table = Table(show_lines=False)
    for column in ("kind", "name", "what it is", "paper", "from"):
        table.add_column(column, overflow="fold")
    for kind, entry in entries:
        table.add_row(kind, entry.name, entry.description, entry.paper, entry.origin)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
