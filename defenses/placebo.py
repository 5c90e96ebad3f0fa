"""Placebo: somebody else's cloak. A control, and no published method.

Idea: a cloak is computed for one person's photos. The same defense also cloaks photos of an invented person, within
the same budget, and what it changes there is added to these photos. That has all of a real cloak but the person: its
size, its spectrum, where in the picture it is strong. A cloak that leaves no less than its placebo works by what it
looks like, as noise does, and not by what it says of the face.
The invented people come with the package, so that the placebo does not depend on who else is in the data set; the seed
chooses among them. Cost: that of the defense itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from bench.config.resolved_method import ResolvedMethod
from bench.core.code_version import CODE, code_version
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.images import read_png, resize, to_tensor
from bench.core.registry import build
from bench.models.weights.files import ZOO, hashes
from defenses import DEFENSES, Context, Defense
from defenses.pgd import project

PEOPLE = ZOO / "synthetic"
"""<person>/set_A and set_B, as `bench.data.synthetic` has them."""
NO_CLOAKS = ("none", "placebo", "precomputed")


@dataclass(frozen=True)
class Placebo(Defense):
    """Control: the cloak that a defense makes for an invented person, put on these photos.

    Attributes:
        of: the defense: its `name`, and those of its settings that are not the default.
    """

    of: dict[str, Any] = field(default_factory=lambda: {"name": "dladiff"})

    def resolved(self, family: str) -> Self:
        defense = ResolvedMethod.of(str(self.of.get("name")), self._defense().resolved(family))
        return dataclasses.replace(self, of={"name": defense.name, **defense.settings})

    def at_effort(self, wanted: int) -> Self:
        defense = ResolvedMethod.of(str(self.of.get("name")), self._defense().at_effort(wanted))
        return dataclasses.replace(self, of={"name": defense.name, **defense.settings})

    @property
    def unet_only(self) -> str:
        return self._defense().unet_only

    def files(self) -> dict[str, str]:
        """The invented photos; the defense, with its own files in place of their names; and its code."""
        defense = self._defense()
        own = defense.files()
        photos = {path.relative_to(PEOPLE).as_posix(): path for path in sorted(PEOPLE.glob("*/set_[AB]/*.png"))}
        return {
            "of": hash_of([ResolvedMethod.of(self.of["name"], defense).facts(own), own]),
            "people": hash_of(hashes(photos, "Reinstall cloakbench.")),
            CODE: code_version(type(defense)),
        }

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        names = sorted(path.name for path in PEOPLE.iterdir() if path.is_dir() and path.name != context.identity)
        person = PEOPLE / names[int(torch.randint(len(names), (1,), generator=context.generator))]
        files = sorted((person / "set_B").glob("*.png"))[: len(photos)]
        theirs = _read(files, photos)
        reference = _read(sorted((person / "set_A").glob("*.png")), photos)
        own = dataclasses.replace(
            context, reference=reference, identity=person.name, names=[file.name for file in files]
        )
        cloaked = self._defense().protect(theirs.clone(), own)
        change = (cloaked - theirs)[torch.arange(len(photos)) % len(theirs)]  # a long row of photos has them in turn
        return project(photos + change, photos, context.budget)

    def _defense(self) -> Defense:
        """The one whose cloaks these are.

        Raises:
            BenchError: there is none of this name that makes cloaks, or a setting is not one of it.
        """
        name = self.of.get("name")
        if name is None or name in NO_CLOAKS:
            raise BenchError(
                f"Bad setting defense.of.name={name}: that makes no cloak of an invented person.",
                "Give it a defense that does, as in defense.of.name=aspl; python -m bench.list defenses shows them.",
            )
        settings = {key: value for key, value in self.of.items() if key != "name"}
        return build(DEFENSES.get(str(name)), settings, "defense.of.")


def _read(files: Sequence[Path], like: Tensor) -> Tensor:
    """(n, 3, h, w) photos in [0, 1], of the size of others."""
    return to_tensor([resize(Image.fromarray(read_png(file)), like.shape[-1]) for file in files]).to(like)
