"""Does a defense or an attack keep its contract? In under a minute, on the CPU, with the embedded model.

    python -m bench.check my_cloak.py:MyCloak     a class in a file
    python -m bench.check aspl                    a registered name

Heavy settings are turned down (`steps`, `rounds` and the like to 2): this checks the contract, not the strength.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from attacks import ATTACKS, Attack, FitContext
from bench.core.budget import audit
from bench.core.cli import guarded
from bench.core.errors import BenchError, reason_of
from bench.core.images import to_pixels, to_tensor
from bench.core.plugins import import_plugins, loaded_class
from bench.core.registry import build
from bench.core.seeding import generator
from bench.core.terminal import terminal
from bench.core.types import Budget
from bench.data.synthetic import Synthetic
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from bench.runner.stages.class_images import class_latents
from bench.runner.stages.surrogate import tuned
from bench.store import Store
from defenses import DEFENSES, Context, Defense

T = TypeVar("T")
Check = tuple[str, Callable[[], bool]]
"""What is promised, and a function that says whether it holds."""

SMALL = {"steps": 2, "rounds": 2, "surrogate_steps": 1, "pgd_steps": 1, "batch": 2, "class_count": 2}


def main(arguments: Sequence[str]) -> int:
    """Run all checks of one method and print a pass/fail table."""
    console = terminal()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        console.print(__doc__)
        return 2
    cls = find(arguments[0])
    table = Table(title=f"{cls.__name__}: {'defense' if issubclass(cls, Defense) else 'attack'} contract")
    for column in ("promise", "result", ""):
        table.add_column(column, overflow="fold")
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        for promise, holds in checks(cls, Store(Path(folder))):
            verdict, note = _try(holds)
            passed &= verdict
            table.add_row(promise, Text("pass", "green") if verdict else Text("FAIL", "bold red"), note)
    console.print(table)
    return 0 if passed else 1


def find(what: str) -> type[Any]:
    """The class meant by "file.py:Class" or by a registered name.

    Raises:
        BenchError: no such class, or it is neither a defense nor an attack.
    """
    if ":" in what:
        source, _, name = what.rpartition(":")
        import_plugins([source])
        cls = loaded_class(source, name)
    elif what in ATTACKS.names() and what not in DEFENSES.names():
        cls = ATTACKS.get(what)
    else:
        cls = DEFENSES.get(what)
    if not (isinstance(cls, type) and issubclass(cls, Defense | Attack)):
        raise BenchError(
            f"{what} is neither a Defense nor an Attack.", "Derive it from defenses.Defense or attacks.Attack."
        )
    return cls


def checks(cls: type[Any], store: Store) -> Iterator[Check]:
    """The promises of a defense or an attack, on one invented person."""
    base = load_base(locate("facelet-1", "zoo"))
    person = Synthetic(limit=1).load(base.side).identities[0]
    photos = to_tensor([photo.pixels for photo in person.protect])
    reference = to_tensor([photo.pixels for photo in person.reference])
    small = {f.name: SMALL[f.name] for f in dataclasses.fields(cls) if f.init and f.name in SMALL}
    method = build(cls, small).resolved("facelet")
    if isinstance(method, Defense):
        yield from _defense_checks(method, base, photos, reference, store)
    else:
        yield from _attack_checks(method, base, photos, store)


def _defense_checks(
    defense: Defense, base: DiffusionModel, photos: Tensor, reference: Tensor, store: Store
) -> Iterator[Check]:
    def protect(budget: float, seed: int = 0, count: int = 4) -> Tensor:
        learned = partial(tuned, seed=seed)
        draw, others = generator(seed), partial(class_latents, store)
        context = Context([base], reference, Budget(budget), draw, others, learned)
        try:
            return defense.protect(photos[:count].clone(), context)
        finally:
            base.restore()

    def within(budget: float) -> bool:
        audit(to_pixels(photos), to_pixels(protect(budget)), Budget(budget), type(defense).__name__)
        return True

    first = protect(8)
    yield "returns photos of the same shape, in [0, 1], finite", lambda: _is_photos(first, photos)
    for budget in (0, 3.5, 8, 16):
        yield f"holds a budget of {budget} grey levels on the saved file", partial(within, budget)
    yield "same seed, same cloak", lambda: torch.equal(first, protect(8))
    yield "works on a single photo", lambda: _is_photos(protect(8, count=1), photos[:1])
    yield "leaves the surrogate as it was after restore", lambda: _untouched(base)


def _attack_checks(attack: Attack, base: DiffusionModel, photos: Tensor, store: Store) -> Iterator[Check]:
    templates = ["a photo of {subject}"] * 2
    noise = torch.stack([randn(base.latent_shape, generator("check", i), base.device) for i in range(2)])

    def context() -> FitContext:
        return FitContext(generator(0), partial(class_latents, store))

    def prepared(work: Callable[[], T]) -> T:
        attack.prepare(base)
        try:
            return work()
        finally:
            attack.reset()

    def fit() -> dict[str, Tensor]:
        return prepared(lambda: attack.fit(photos, context()))

    def fits(*of_each: Tensor) -> list[dict[str, Tensor]]:
        return prepared(lambda: attack.fit_many(of_each, [context() for _ in of_each]))

    def generate(artifact: dict[str, Tensor], chosen: slice = slice(0, 2)) -> Tensor:
        return prepared(lambda: attack.generate(artifact, templates[chosen], noise[chosen], 4, 3.0))

    artifact = fit()
    pictures = generate(artifact)
    yield "the artifact is named tensors", lambda: all(isinstance(v, Tensor) for v in artifact.values())
    yield "generates pictures in [0, 1], finite", lambda: _is_photos(pictures, photos[:2])
    yield "same seed, same artifact", lambda: _same(artifact, fit())
    yield "same artifact, same pictures", lambda: torch.equal(pictures, generate(artifact))
    yield (
        "a picture does not depend on its batch",
        lambda: torch.allclose(pictures[1:], generate(artifact, slice(1, 2)), atol=2e-3),
    )
    if attack.stacks:
        flipped = photos.flip(-1)
        yield "who is fitted beside changes no bit", lambda: _same(fits(photos, flipped)[0], fits(flipped, photos)[1])
    yield "reset restores the base bit for bit", lambda: _untouched(base)


def _try(holds: Callable[[], bool]) -> tuple[bool, str]:
    try:
        return holds(), ""
    except Exception as error:  # a check that raises has failed; the message is what the author needs
        return False, reason_of(error)


def _is_photos(made: Tensor, like: Tensor) -> bool:
    if made.shape != like.shape:
        raise ValueError(f"shape {tuple(made.shape)}, expected {tuple(like.shape)}")
    return bool(torch.isfinite(made).all()) and float(made.min()) >= 0 and float(made.max()) <= 1


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _untouched(base: DiffusionModel) -> bool:
    fresh = load_base(locate("facelet-1", "zoo"))
    return _same(base.unet.state_dict(), fresh.unet.state_dict()) and _same(
        base.text_encoder.state_dict(), fresh.text_encoder.state_dict()
    )


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
