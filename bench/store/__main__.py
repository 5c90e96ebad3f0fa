"""What is in the store, whether it is whole, and what can be thrown away.

    python -m bench.store ls [STAGE]               sizes, ages and costs of every stage, or of one stage's outputs
    python -m bench.store verify                   hash every file again; exit status 1 if one is damaged
    python -m bench.store prune --older 30d        what would go; with --yes it goes
    python -m bench.store prune --unreferenced     what no record and no plan under runs/ names
    python -m bench.store prune --keep 20GB        the oldest, until the store has that size
    python -m bench.store forget ada               everything of a person, by name or pseudonym; at once

Conditions of prune narrow each other. What a running run needs always stays.
"""

from __future__ import annotations

import re
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.store import Store, default_root
from bench.store.forget import by_stage, called, forget, runs_of
from bench.store.inventory import Item, items
from bench.store.lease import gate, held
from bench.store.prune import references, remove, superfluous

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands."""
    options = _parser().parse_args(arguments)
    root = default_root(options.store)
    if not root.is_dir():
        raise BenchError(f"There is no store in {root}.", "Give --store, set CLOAKBENCH_STORE, or go where it is.")
    command = {"ls": _ls, "verify": _verify, "prune": _prune, "forget": _forget}[options.command]
    return command(Store(root), options, terminal())


def _ls(store: Store, options: Namespace, console: Console) -> int:
    found = list(items(store))
    if options.stage:
        found = [item for item in found if item.stage == options.stage]
        groups = {item.key[:12]: [item] for item in found}
    else:
        groups = {stage: [i for i in found if i.stage == stage] for stage in dict.fromkeys(i.stage for i in found)}
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("output" if options.stage else "stage", "outputs", "size", "computing", "oldest", "newest"):
        table.add_column(name, justify="left" if name in ("output", "stage") else "right")
    for name, group in groups.items():
        table.add_row(name, *_facts(group))
    console.print(table)
    console.print(f"{store.root}: {_sum(found)}", highlight=False, soft_wrap=True)
    return 0


def _verify(store: Store, _: Namespace, console: Console) -> int:
    states: dict[str, list[Item]] = {}
    for item in items(store):
        states.setdefault(_state(item), []).append(item)
    for item in states.get("damaged", []):
        console.print(Text.assemble(("damaged", "bold red"), f" {item.path}"), soft_wrap=True)
    told = ", ".join(f"{len(group)} {state}" for state, group in sorted(states.items()))
    console.print(f"{store.root}: {told or 'empty'}", highlight=False, soft_wrap=True)
    if "damaged" in states:
        console.print("What is damaged is made again when a run needs it.")
    return 1 if "damaged" in states else 0


def _state(item: Item) -> str:
    try:
        return item.state()
    except FileNotFoundError:
        return "changing"  # by a run, at this moment


def _prune(store: Store, options: Namespace, console: Console) -> int:
    if options.older is None and options.keep is None and options.unreferenced is None:
        raise BenchError(
            "prune without a condition would throw everything away.", "Give --older, --keep or --unreferenced."
        )
    # A run that begins meanwhile waits: it would count on what it finds.
    with gate(store.root) if options.yes else nullcontext():
        wanted = superfluous(
            list(items(store)),
            {name for lease in held(store.root) for name in lease.keys},
            referenced=None if options.unreferenced is None else references(options.unreferenced),
            before=None if options.older is None else time.time() - options.older,
            keep=options.keep,
        )
        gone = remove(store, wanted) if options.yes else []
    if not options.yes:
        console.print(
            f"Would go: {_sum(wanted)}. Nothing was thrown away; repeat with --yes.", highlight=False, soft_wrap=True
        )
        return 0
    console.print(f"Thrown away: {_sum(gone)}.", highlight=False, soft_wrap=True)
    if len(gone) < len(wanted):
        console.print(f"{len(wanted) - len(gone)} are being made at this moment and stay.")
    return 0


def _forget(store: Store, options: Namespace, console: Console) -> int:
    names = called(options.person, store.root)
    folders, keys = runs_of(names, options.runs)
    gone, left, unsure = forget(store, names, keys)
    said = [f"{stage}: {_sum(group)}" for stage, group in by_stage(gone).items()]
    said.append(f"Forgotten of {options.person}: {_sum(gone)}.")
    said += [f"{len(left)} are being made at this moment and stay: repeat the command."] if left else []
    said += [f"{unsure} other outputs do not say whose they are: see prune --unreferenced."] if unsure else []
    said += [f"Still there, with scores and perhaps pictures: {folder}" for folder in folders]
    for line in said:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 1 if left else 0


def _facts(group: Sequence[Item]) -> list[str]:
    times = [time.strftime("%Y-%m-%d", time.localtime(item.made)) for item in group]
    computing = f"{sum(item.seconds for item in group):.0f} s"
    return [str(len(group)), decimal(sum(item.size for item in group)), computing, min(times), max(times)]


def _sum(found: Sequence[Item]) -> str:
    return f"{len(found)} outputs, {decimal(sum(item.size for item in found))}"


def _age(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is no age; write 12h, 30d or 8w")
    return float(match[1]) * UNITS[match[2]]


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?)B?", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is no size; write 500MB, 20GB or 1.5TB")
    return int(float(match[1]) * BYTES[match[2]])


def _parser() -> ArgumentParser:
    parser = ArgumentParser("bench.store", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    ls, verify, away, person = (commands.add_parser(name) for name in ("ls", "verify", "prune", "forget"))
    for each in (ls, verify, away, person):
        each.add_argument("--store", help="its folder; default: $CLOAKBENCH_STORE, else store/")
    ls.add_argument("stage", nargs="?", help="list the outputs of this stage")
    away.add_argument("--older", type=_age, metavar="AGE", help="only what was made longer ago: 12h, 30d, 8w")
    away.add_argument("--keep", type=_size, metavar="SIZE", help="the oldest, until the store has this size: 20GB")
    away.add_argument(
        "--unreferenced",
        type=expanded,
        nargs="?",
        const=Path("runs"),
        metavar="RUNS",
        help="only what no record and no plan in this folder (runs) names",
    )
    away.add_argument("--yes", action="store_true", help="throw it away")
    person.add_argument("person", help="the name as the folder has it, or the pseudonym")
    person.add_argument("--runs", type=expanded, default=Path("runs"), help="look there for runs that name the person")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
