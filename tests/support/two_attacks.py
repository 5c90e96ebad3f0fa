"""Records of a run with two attacks whose leaks are chosen, and what a report says of them."""

from __future__ import annotations

import numpy as np

from bench.report import document
from bench.report.analysis import RunAnalysis
from bench.results.record import Record
from tests.support.plain_records import defense, record

THRESHOLDS = {"ilr": 0.5, "far": 0.01, "pairs": 240.0}


PEOPLE = [f"p{i}" for i in range(12)]


LEAKS = {
    "dreambooth": {"none": 0.9, "noise": 0.85, "aspl": 0.2},
    "lora": {"none": 0.8, "noise": 0.8, "aspl": 0.7},
}


def run(people: list[str] = PEOPLE) -> list[Record]:
    """Two attacks on three arms; ASPL holds against DreamBooth, and not against LoRA."""
    rng = np.random.default_rng(0)
    found = []
    for person in people:
        for attack, arms in LEAKS.items():
            for name, leak in arms.items():
                ilr = float(np.clip(leak + 0.05 * rng.normal(), 0, 1))
                method = {"name": attack, "config": {}}
                budget = 0.0 if name == "none" else 8.0
                found.append(record(person, ilr, attack=method, defense=defense(name, budget), thresholds=THRESHOLDS))
    return found


def markdown(records: list[Record]) -> str:
    """What `report.md` says of records."""
    return document.markdown(RunAnalysis(records))
