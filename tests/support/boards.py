"""Folders of results made by hand: records whose scores are chosen, packed as entries."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.results.record import Record
from leaderboard.entries.sprites import draw
from tests.support.entries import maintain

PROTOCOL = {"prompts": ["a photo of {subject}"], "images_per_prompt": 16, "far": 0.01}


def record(
    defense: str,
    person: str,
    leak: float | None,
    budget: float = 8,
    attack: str = "dreambooth",
    chain: Sequence[str] = (),
    **more: Any,
) -> Record:
    """A cell in which a share `leak` of the pictures passes for the person; None: it failed.

    With `halves` it has four pictures, whose likeness is these two, by turns.
    """
    facts: dict[str, Any] = {
        "data": "synthetic",
        "base": "facelet-1",
        "photos_of": person,
        "seed": 0,
        "config": {"steps": 100} if defense not in ("none", "noise") else {},
        "photos": "photos",
        "weights": "weights",
        "judge": "judge",
        "protocol": PROTOCOL,
        "model": None,
        "reason": "" if leak is not None else "no face found",
    } | more
    alike = facts.pop("likeness", leak)
    thresholds = facts.pop("thresholds", {"ilr": 0.5, "far": 0.01, "pairs": 500})
    halves: Any = facts.pop("halves", ())
    if halves:
        alike, thresholds = sum(halves) / 2, {"own.judge": 1.0, "stranger.judge": 0.0, "far": 0.01}
    if defense == "none":
        budget = 0
    named = json.dumps([defense, person, budget, attack, list(chain), facts], sort_keys=True)
    metrics = {
        "ilr": leak,
        "likeness": alike,
        "ism_zero": 0.5 * (leak or 0),
        "fdfr": 0.1,
        "linf": budget,
        "psnr": 45 - budget,
        "ssim": 0.9,
    }
    passes = {"unet": {"plain": 10, "inputs": 200, "weights": 1000}, "encoder": {"plain": 5, "inputs": 0, "weights": 0}}
    stage = {"seconds": 2.0 + budget, "peak_mb": 100, "passes": passes, "key": "k", "cached": False}
    return Record.model_validate(
        {
            "cell": hashlib.sha256(named.encode()).hexdigest(),
            "status": "ok" if leak is not None else "fit_failed",
            "reason": facts["reason"],
            "data": facts["data"],
            "identity": person,
            "photos_of": facts["photos_of"],
            "defense": {"name": defense, "budget": budget, "config": facts["config"]},
            "countermeasure": [{"name": name, "config": {}} for name in chain or ["none"]],
            "attack": {"name": attack, "config": {}},
            "base": facts["base"],
            "surrogates": [],
            "model": facts["model"],
            "photo_count": 4,
            "seed": facts["seed"],
            "metrics": metrics if leak is not None else {},
            "thresholds": thresholds,
            "stages": {"protect": stage} if leak is not None else {},
            "images": [_picture(i, halves[i % 2]) for i in range(4)] if halves else [],
            "provenance": {
                "protocol": facts["protocol"],
                "data": {"fingerprint": facts["photos"], "licence": "CC0-1.0"},
                "base": {"fingerprint": facts["weights"]},
                **{name: {"fingerprint": facts[name]} for name in ("judge", "judges") if name in facts},
            },
        }
    )


def _picture(number: int, similarity: float) -> dict[str, Any]:
    facts = {"prompt": 0, "image": number, "noise_seed": number, "faces": 1, "sha256": "0" * 64}
    return facts | {"similarity": similarity, "similarities": {"judge": similarity}}


def table(defense: str, leaks: Mapping[str, Sequence[float]], **more: Any) -> list[Record]:
    """Records of one defense: attack -> the leak of person 0, 1, ..."""
    return [
        record(defense, f"person-{i:02}", leak, attack=attack, **more)
        for attack, values in leaks.items()
        for i, leak in enumerate(values)
    ]


def pack(root: Path, name: str, records: Sequence[Record], pictures: bool = False, **facts: Any) -> Path:
    """Write an entry as `leaderboard submit` would; `facts` replace those of entry.json. A reference is listed."""
    folder = root / name
    (folder / "images").mkdir(parents=True)
    lines = "".join(r.model_dump_json() + "\n" for r in sorted(records, key=lambda r: r.cell))
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    if pictures:
        places = {}
        for index, one in enumerate(r for r in records if r.status == "ok"):
            grey = np.full((32, 32, 3), 40 + index % 160, np.uint8)
            sprite, data = draw(one.cell, {"clean": [grey], "cloaked": [grey], "generated": [grey] * 16})
            (folder / sprite.file).write_bytes(data)
            places[one.cell] = sprite.model_dump()
        (folder / "images.json").write_text(json.dumps(places))
    else:
        (folder / "images").rmdir()
    files = {
        f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in folder.rglob("*")
        if f.is_file()
    }
    entry = {
        "schema_version": 1,
        "id": name,
        "kind": "defense",
        "title": name,
        "licence": "CC-BY-4.0",
        "submitted": "2026-11-24",
        "files": files,
    }
    (folder / "entry.json").write_text(json.dumps(entry | facts))
    if facts.get("kind") == "reference":
        maintain(root, name)
    return folder


def hundred_thousand(results: Path) -> int:
    """Entries of 50 people, 6 attacks, 3 countermeasures and 111 rows with random scores; how many cells they are."""
    rng = np.random.default_rng(0)
    attacks = ["dreambooth", "lora", "textual_inversion", "ip_adapter", "photomaker", "instantid"]
    chains: list[list[str]] = [[], ["jpeg"], ["resize", "jpeg"]]
    cells = 0
    for number in range(37):
        records = []
        for budget, chain in itertools.product((4.0, 8.0, 16.0), chains):
            leaks = {attack: rng.random(50).round(2).tolist() for attack in attacks}
            records += table(f"m{number}", leaks, budget=budget, chain=chain)
        pack(results, f"entry-{number:03}", records)
        cells += len(records)
    return cells
