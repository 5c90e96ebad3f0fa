"""Cloaks that know what will be done to the photos: the objective is asked of photos as they will be treated.

A cloak that JPEG breaks may only never have been asked to survive JPEG. With `defense.through=[jpeg,resize]` every
call of the objective sees the photos untreated or through one of the countermeasures, drawn anew and with equal odds:
the expectation over transformations of Athalye et al. ("Synthesizing robust adversarial examples", ICML 2018), at the
cost of no further pass. Gradients pass through a countermeasure as if it were not there (backward pass differentiable
approximation, Athalye, Carlini and Wagner, ICML 2018), which needs no derivative of JPEG's rounding, and holds as far
as a treated photo is near the photo: what moves pixels (`crop`) is refused, and so is what needs the attacker's base.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.core.code_version import CODE, code_version
from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.images import to_pixels, to_tensor
from countermeasures import COUNTERMEASURES, Countermeasure, Purifier
from defenses import Defense
from defenses.pgd import Objective


@dataclass(frozen=True)
class Adaptive(Defense):
    """Base class of the defenses that can be made against countermeasures.

    Attributes:
        through: countermeasures, with their default settings, that the cloak is to survive; empty for none.
    """

    through: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for name in self.through:
            kind = COUNTERMEASURES.get(name)
            if kind.moves or issubclass(kind, Purifier):
                why = "moves what is on the photo" if kind.moves else "needs the attacker's base"
                raise BenchError(
                    f"defense.through: no cloak can be made through {name}, which {why}.", f"Leave out {name}."
                )

    def files(self) -> dict[str, str]:
        if not self.through:
            return super().files()
        code = hash_of([[code_version(type(each)), each.files()] for each in self._countermeasures()])
        return super().files() | {CODE: code}

    def treated(self, objective: Objective, generator: torch.Generator) -> Objective:
        """An objective of photos as somebody may have treated them, drawn anew at every call."""
        if not self.through:
            return objective
        used = self._countermeasures()

        def value(photos: Tensor) -> Tensor:
            drawn = int(torch.randint(len(used) + 1, (), generator=generator))
            return objective(seen_through(used[drawn - 1], photos, generator) if drawn else photos)

        return value

    def _countermeasures(self) -> list[Countermeasure]:
        return [COUNTERMEASURES.create(name, {}) for name in self.through]


def seen_through(countermeasure: Countermeasure, photos: Tensor, generator: torch.Generator) -> Tensor:
    """Photos (n, 3, h, w) in [0, 1] after a countermeasure; gradients are those of the photos before it."""
    after = to_tensor(countermeasure.apply(to_pixels(photos.detach()), generator)).to(photos)
    return photos + (after - photos).detach()
