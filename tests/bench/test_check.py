"""`bench.check` finds an attack whose fits are not each one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from attacks import Artifact, FitContext
from attacks.textual_inversion import TextualInversion
from bench.check import checks
from bench.store import Store

PROMISE = "who is fitted beside changes no bit"


@dataclass
class Mixed(TextualInversion):
    """Whoever is fitted together gets what the last one has."""

    def fit_many(self, photos: Sequence[Tensor], contexts: Sequence[FitContext]) -> list[Artifact]:
        return super().fit_many(photos, contexts)[-1:] * len(photos)


@pytest.mark.parametrize(("attack", "keeps"), [(TextualInversion, True), (Mixed, False)])
def test_who_is_fitted_beside_must_not_matter(attack: type[Any], keeps: bool, tmp_path: Path) -> None:
    holds = dict(checks(attack, Store(tmp_path)))[PROMISE]
    assert holds() is keeps
