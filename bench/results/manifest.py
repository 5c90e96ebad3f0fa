"""The manifest of a run, `<out>/plan.json`: what it consists of, written before its first cell.

Records tell what is done; with the manifest they tell what is missing, and how to do a cell again.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from pydantic import AliasChoices, Field, ValidationError

from bench.core.errors import BenchError
from bench.core.names import composed
from bench.core.stated_paths import relative
from bench.core.strict import Strict
from bench.store import write_atomic

FILE = "plan.json"
CHOICES = ("identities", "exclude")
"""Settings of data sets that name people."""


class Planned(Strict):
    """One cell: its hash, its person, what people call it, and its outputs in the store by stage."""

    cell: str
    identity: str
    label: str
    keys: dict[str, str]

    @property
    def outputs(self) -> list[str]:
        """`<stage>/<key>` of all its outputs."""
        return [f"{stage}/{key}" for stage, key in self.keys.items()]


class RunManifest(Strict):
    """A run as it was planned; a later command with the same folder takes its place."""

    overrides: tuple[str, ...] | None = Field(validation_alias=AliasChoices("overrides", "words"))  # formerly
    """What was set on the command line of `python -m bench`; null: the run was started by a script."""
    settings: dict[str, Any]
    store: str
    """The store's folder: as it is written, as seen from the run's; as it is read, absolute."""
    started: float
    """When, in seconds of the epoch."""
    cells: tuple[Planned, ...]

    def command(self, identity: str) -> str | None:
        """The command that does one person's cells again, in a run of its own; finished stages are reused.

        None if the run was started by a script.
        """
        if self.overrides is None:
            return None
        overrides = [each for each in self.overrides if each.partition("=")[0] not in ("out", "data.identities")]
        if "identities" in self.settings["data"]["settings"]:
            overrides.append(f"data.identities=[{_quoted(identity)}]")
        return shlex.join(["python", "-m", "bench", *overrides])


def _quoted(name: str) -> str:
    return str(QuotedString(name, Quote.single).with_quotes())


def save(
    out: Path,
    overrides: Sequence[str] | None,
    settings: dict[str, Any],
    store: Path,
    cells: Sequence[Planned],
    codes: Mapping[str, str] = MappingProxyType({}),
) -> RunManifest:
    """Write a run's manifest atomically, with no absolute path: a folder of a run may be handed on. Returns it.

    Args:
        out: the run's folder.
        overrides, settings, cells: see `RunManifest`.
        store: the store's folder.
        codes: name -> pseudonym, of people who may be chosen or left out by name.
    """
    chosen = {name: names for name in CHOICES if (names := settings.get("data", {}).get("settings", {}).get(name))}
    # As they were typed: one name, or a number, is a list of names here too.
    texts = {name: map(str, names if isinstance(names, list) else [names]) for name, names in chosen.items()}
    chosen = {name: [codes.get(composed(each), each) for each in each_of] for name, each_of in texts.items()}
    if overrides is not None:
        words = {f"data.{name}": f"data.{name}=[{','.join(map(_quoted, names))}]" for name, names in chosen.items()}
        overrides = [words.get(each.partition("=")[0].lstrip("+"), each) for each in overrides]
    if chosen:
        settings = {**settings, "data": {**settings["data"], "settings": {**settings["data"]["settings"], **chosen}}}
    manifest = RunManifest(
        overrides=None if overrides is None else tuple(relative(list(overrides))),
        settings=relative(settings),
        store=os.path.relpath(store.resolve(), out.resolve()),
        started=time.time(),
        cells=tuple(cells),
    )
    write_atomic(out / FILE, (manifest.model_dump_json(indent=1) + "\n").encode())
    return manifest


def load(out: Path) -> RunManifest | None:
    """A run's manifest; None if it has none.

    Raises:
        BenchError: it is not to be understood.
    """
    if not (out / FILE).is_file():
        return None
    try:
        manifest = RunManifest.model_validate_json((out / FILE).read_bytes())
        return manifest.model_copy(update={"store": str((out / manifest.store).resolve())})
    except ValidationError as error:
        raise BenchError(
            f"{out / FILE} is no manifest: {error.errors()[0]['msg']}.", "Repeat the run's command: it is written anew."
        ) from error
