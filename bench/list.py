"""Every registered method, with what it is and where it comes from.

python -m bench.list [my_cloak.py ...]     plug-in files or modules are imported first
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
from bench.registry import Registry, import_plugins
from countermeasures import COUNTERMEASURES
from defenses import DEFENSES

REGISTRIES: tuple[Registry[Any], ...] = (DEFENSES, ATTACKS, COUNTERMEASURES, SOURCES)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    if any(argument.startswith("-") for argument in arguments):
        print(__doc__)
        return 0
    import_plugins(arguments)
    table = Table(show_lines=False)
    for column in ("kind", "name", "what it is", "from"):
        table.add_column(column, overflow="fold")
    for registry in REGISTRIES:
        for entry in registry.entries():
            table.add_row(registry.kind, entry.name, entry.description, entry.origin)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
