"""The published figures of a paper, and what it claims: `bench/papers/<paper>.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import Field

from bench.core.errors import unknown_name
from bench.core.strict import Strict
from bench.results.record import Record

PAPERS = Path(__file__).parents[1] / "papers"


class Published(Strict):
    """With what a paper used an arm: the budget in grey levels, and settings."""

    budget: float
    config: dict[str, Any] = Field(default={})


class Selector(Strict):
    """Which records are an arm of the paper: the defense's name, or one of several, and some of its settings."""

    name: str | tuple[str, ...]
    config: dict[str, Any] = Field(default={})
    published: Published | None = None

    def fits(self, record: Record) -> bool:
        """Whether a record is of this arm."""
        names = (self.name,) if isinstance(self.name, str) else self.name
        return record.defense.name in names and _has(record, self.config)

    def budget(self, record: Record) -> str:
        """The group of budgets that a record of this arm belongs to."""
        published = self.published
        if published and record.defense.budget == published.budget and _has(record, published.config):
            return "as published"
        return f"{record.defense.budget:g}/255"


class Attack(Strict):
    """Which attack a table is about."""

    name: str
    variant: str | None = None


class Claim(Strict):
    """`ours` is below `factor` times each of `than` in ISM0, the mean similarity with no face counted as 0."""

    text: str
    ours: str
    than: tuple[str, ...]
    factor: float = 1.0


class PaperTable(Strict):
    """One table of a paper: arm -> published figures."""

    title: str
    data: str = ""
    """How the names of its data sets begin; nothing: people of all data sets are taken together."""
    attack: Attack
    transfer: bool = False
    published: dict[str, dict[str, float]]
    claims: tuple[Claim, ...] = ()

    def covers(self, record: Record) -> bool:
        """Whether a record is of this attack and base, whatever its defense."""
        attack, transferred = record.attack, bool(record.surrogates) and record.base not in record.surrogates
        same = attack.name == self.attack.name and attack.config.get("variant") in (None, self.attack.variant)
        same = same and record.data.startswith(self.data)
        return same and not record.of_another_person and (not record.surrogates or transferred == self.transfer)


class Paper(Strict):
    """A paper's tables."""

    title: str
    arms: dict[str, Selector]
    tables: tuple[PaperTable, ...]


def load(name: str) -> Paper:
    """A paper by its short name.

    Raises:
        BenchError: no such paper.
    """
    known = {file.stem: file for file in PAPERS.glob("*.yaml")}
    if name not in known:
        raise unknown_name("paper", name, known)
    return Paper.model_validate(OmegaConf.to_container(OmegaConf.load(known[name])))


def _has(record: Record, config: dict[str, Any]) -> bool:
    """Whether a record's defense has these settings."""
    return all(record.defense.config.get(key) == value for key, value in config.items())
