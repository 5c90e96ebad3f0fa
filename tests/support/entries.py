"""Leaderboard entries made by hand, for tests: records whose sums can be done in the head."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import numbered
from bench.core.hashing import hash_of, sha256_array, sha256_file
from bench.core.images import read_png
from bench.core.types import Pixels
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.results import standard
from bench.results.record import Record, StageFacts, save
from bench.store import Store
from leaderboard.entries.maintained import MAINTAINED
from metrics.visibility import linf, psnr, ssim

PROMPTS, PICTURES = 2, 8
"""And pictures of each."""
SCALE = {"stranger": 0.0, "own": 1.0, "ilr": 0.5}
"""Ends of the scale and thresholds, the same of both judges."""
MATCHED = {"mobilefacenet": 0.6356970, "faceres": 0.6465684}
"""The thresholds for look-alikes that belong to these, as the judges' cohorts have it."""
JUDGES = tuple(MATCHED)
PROTOCOL = standard.PROTOCOLS[2]
PROVENANCE: dict[str, Any] = {
    "data": {"fingerprint": "f" * 64, "licence": "made up"},
    "protocol": PROTOCOL,
    "git": {"commit": "c" * 40, "dirty": False},
}
METRICS = {"psnr": 32.0, "ssim": 0.75}
UNCHANGED = {"psnr": 100.0, "ssim": 1.0}


def made(
    identity: str = "p01",
    defense: str = "none",
    budget: float = 0,
    attack: str = "lora",
    leaks: int = 4,
    **changes: Any,
) -> Record:
    """A record whose first `leaks` of each prompt's 8 pictures have similarity 0.75, and the others 0.25.

    Its threshold is 0.5.
    """
    chain = changes.pop("chain", ["none"])
    named = [identity, defense, budget, attack, chain, changes.get("seed", 0), changes.get("base", "facelet-1")]
    facts = {
        "cell": hash_of(named),
        "status": "ok",
        "data": "synthetic",
        "identity": identity,
        "photos_of": identity,
        "defense": {"name": defense, "budget": float(budget), "config": {}},
        "countermeasure": [{"name": name, "config": {}} for name in chain],
        "attack": {"name": attack, "config": {}},
        "base": "facelet-1",
        "surrogates": [],
        "seed": 0,
        "metrics": {
            "fdfr": 0.0,
            "ism_detected": (0.25 * PICTURES + 0.5 * leaks) / PICTURES,
            "ism_zero": (0.25 * PICTURES + 0.5 * leaks) / PICTURES,
            "likeness": (0.25 * PICTURES + 0.5 * leaks) / PICTURES,
            "ilr": leaks / PICTURES,
            "ilr_matched": leaks / PICTURES,
            "any_leak@4": 1 - comb(PROMPTS * (PICTURES - leaks), 4) / comb(PROMPTS * PICTURES, 4),
            "false_leak": 0.0,
            "linf": float(budget),
            **(METRICS if budget else UNCHANGED),
        },
        "thresholds": {"far": 0.01}
        | {f"{name}.{judge}": at for judge in JUDGES for name, at in SCALE.items()}
        | {f"ilr_matched.{judge}": at for judge, at in MATCHED.items()},
        "images": [
            {
                "prompt": prompt,
                "image": i,
                "noise_seed": i,
                "faces": 1,
                "similarity": 0.75 if i < leaks else 0.25,
                "similarities": dict.fromkeys(JUDGES, 0.75 if i < leaks else 0.25),
                "sha256": "a" * 64,
            }
            for prompt in range(PROMPTS)
            for i in range(PICTURES)
        ],
        "provenance": PROVENANCE,
    }
    return Record.model_validate(facts | changes)


def grid(people: Sequence[str] = ("p01", "p02"), leaks: int = 2, **changes: Any) -> list[Record]:
    """What an entry needs: the base, both controls and a cloak, for everybody."""
    return [
        record
        for person in people
        for record in (
            made(person, attack="none", leaks=0, **changes),
            made(person, leaks=6, **changes),
            made(person, "noise", 8, leaks=5, **changes),
            made(person, "aspl", 8, leaks=leaks, **changes),
        )
    ]


def lines(records: Iterable[Record]) -> bytes:
    """As `submit` writes them."""
    return b"".join(r.model_dump_json().encode() + b"\n" for r in sorted(records, key=lambda r: r.cell))


def write_entry(
    root: Path, name: str = "mine", records: Iterable[Record] | bytes | None = None, others: Any = (), **facts: Any
) -> Path:
    """An entry's folder with a true manifest.

    Args:
        root: the folder of results.
        name: id and folder name.
        records: or the bytes of `records.jsonl.gz` when decompressed; None is `grid()`.
        others: name -> bytes of other files.
        facts: fields of `entry.json`; one that is `...` is left out. A reference is listed in `maintained.json`.
    """
    folder = root / name
    folder.mkdir(parents=True)
    found = grid() if records is None else records
    text = found if isinstance(found, bytes) else lines(found)
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(text, mtime=0))
    for file, data in dict(others).items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(data)
    entry = {
        "schema_version": 1,
        "id": name,
        "kind": "defense",
        "title": "A title",
        "licence": "CC0-1.0",
        "protocol": "2",
        "submitted": "2026-11-24",
        "files": manifest(folder),
    }
    whole = {key: value for key, value in (entry | facts).items() if value is not ...}
    (folder / "entry.json").write_text(json.dumps(whole))
    if facts.get("kind") == "reference":
        maintain(root, name)
    return folder


def maintain(root: Path, *references: str, **corrections: str) -> None:
    """List entries in `maintained.json` beside those that it lists already; corrections as `again="mine"`."""
    file = root / MAINTAINED
    lists = json.loads(file.read_text()) if file.is_file() else {"references": [], "corrections": {}}
    lists = {
        "references": sorted({*lists["references"], *references}),
        "corrections": {**lists["corrections"], **corrections},
    }
    file.write_text(json.dumps(lists))


def manifest(folder: Path) -> dict[str, str]:
    """name -> hash of everything in a folder but `entry.json`."""
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "entry.json"]
    return {f.relative_to(folder).as_posix(): sha256_file(f) for f in files}


def zipped(folder: Path, **renamed: str) -> Path:
    """The folder as `<folder>.zip` beside it, which it replaces; files may be given other names."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            packed.write(file, renamed.get(file.name.partition(".")[0], file.relative_to(folder).as_posix()))
    shutil.rmtree(folder)
    return path


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, to see whether anything was written."""
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def stored_run(folder: Path, records: Iterable[Record], clean: Sequence[Pixels], seed: int = 0) -> tuple[Path, Path]:
    """A run and its store, with pictures that are the records' own: cloaks are random signs at the budget.

    Returns:
        The folders of the run and of the store.
    """
    store = Store(folder / "store")
    for record in records:
        random = np.random.default_rng(seed)
        signs = random.choice([-1, 1], (len(clean), *clean[0].shape))
        moved = np.stack(clean).astype(int) + int(record.defense.budget) * signs
        cloaked = list(np.clip(moved, 0, 255).astype(np.uint8))
        generated = [random.integers(0, 256, clean[0].shape, dtype=np.uint8) for _ in record.images]
        pictures = {"protect": cloaked, "counter": [255 - picture for picture in cloaked], "generate": generated}
        stages = {}
        for stage, made_there in pictures.items():
            key = hash_of([record.cell, stage])
            entry = store.compute(stage, key, partial(numbered.save, pictures=made_there))
            stages[stage] = StageFacts(**vars(entry.cost), key=key, cached=False)
        images = [
            image.model_copy(update={"sha256": sha256_array(picture)})
            for image, picture in zip(record.images, generated, strict=True)
        ]
        seen = {
            "linf": float(max(linf(a, b) for a, b in zip(clean, cloaked, strict=True))),
            "psnr": float(np.mean([psnr(a, b) for a, b in zip(clean, cloaked, strict=True)])),
            "ssim": float(np.mean([ssim(a, b) for a, b in zip(clean, cloaked, strict=True)])),
        }
        update = {"stages": stages, "images": images, "metrics": record.metrics | seen}
        save(record.model_copy(update=update), folder / "My run" / "cells")
    return folder / "My run", folder / "store"


def invented(person: str = "p01") -> list[Pixels]:
    """Photos of somebody who does not exist, as a run at 64 px cloaks them."""
    return [read_png(file) for file in sorted((SYNTHETIC / person / "set_B").glob("*.png"))]
