"""Batches under a memory that is too small: the same pictures, in smaller batches, and noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from attacks import ATTACKS
from bench.config.schema import ModelSettings, Protocol
from bench.core import numbered
from bench.core.meter import Meter
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.batching import in_batches
from bench.runner.stages import class_images, generate
from bench.runner.stages.fit import ARTIFACT
from bench.store import Store
from tests.support import tiny


class Memory:
    """A GPU that has room for so many items at a time."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.parts: list[range] = []

    def work(self, part: slice) -> list[int]:
        items = range(part.start, part.stop)
        self.parts.append(items)
        if len(items) > self.room:
            raise torch.OutOfMemoryError
        return list(items)


@pytest.mark.parametrize("count", [0, 1, 5, 16, 37])
@pytest.mark.parametrize("room", [1, 3, 8, 100])
def test_every_item_once_and_in_order(count: int, room: int) -> None:
    memory = Memory(room)
    with Meter() as meter:
        assert in_batches(count, 16, memory.work) == list(range(count))
    failed = [part for part in memory.parts if len(part) > room]
    assert meter.cost.halvings == len(failed)
    done = [part for part in memory.parts if part not in failed]
    sizes = [len(part) for part in done]
    assert sizes == sorted(sizes, reverse=True), "those after a batch that was too large are no larger"


def test_one_item_that_is_too_large_is_an_error() -> None:
    with Meter() as meter, pytest.raises(torch.OutOfMemoryError):
        in_batches(8, 4, Memory(0).work)
    assert meter.cost.halvings == 2


def test_the_batch_is_free_before_it_is_tried_again() -> None:
    """The error's traceback would hold the frame, and with it the tensors for which there was no room."""
    import gc
    import weakref

    held: list[weakref.ref[Any]] = []

    class Block:
        """Stands for a tensor."""

    def work(part: slice) -> list[int]:
        assert all(ref() is None for ref in held)
        block = Block()
        held.append(weakref.ref(block))
        if part.stop - part.start > 1:
            raise torch.OutOfMemoryError
        return [part.start]

    gc.disable()
    try:
        assert in_batches(3, 4, work) == [0, 1, 2]
    finally:
        gc.enable()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("batches") / "base")


def small(monkeypatch: pytest.MonkeyPatch, base: DiffusionModel, room: int) -> None:
    """Let the UNet run out of memory for more than so many samples."""
    forward: Callable[..., Any] = base.unet.forward

    def limited(sample: Tensor, *inputs: Any, **more: Any) -> Any:
        if len(sample) > room:
            raise torch.OutOfMemoryError
        return forward(sample, *inputs, **more)

    monkeypatch.setattr(base.unet, "forward", limited)


def test_generated_pictures_are_the_same_on_a_small_card(
    base: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelSettings(name="tiny", resolution=tiny.SIDE, precision="fp32", steps=2, guidance=3.0)
    protocol = Protocol(prompts=("a photo of {subject}",), images_per_prompt=6, far=0.01)
    attack = ATTACKS.create("none", {})
    attack.prepare(base)

    def made(name: str) -> tuple[list[Any], int]:
        (tmp_path / name).mkdir()
        save_file({"nothing": torch.zeros(1)}, tmp_path / ARTIFACT)
        with Meter() as meter:
            generate.generate(tmp_path / name, tmp_path, attack, model, protocol, "ann", 0)
        return numbered.load(tmp_path / name), meter.cost.halvings

    large, none = made("large")
    small(monkeypatch, base, room=4)  # two samples a picture, with guidance
    few, halvings = made("small")
    assert (len(large), none, halvings) == (6, 0, 2)
    for one, other in zip(large, few, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_class_photos_are_the_same_on_a_small_card(
    base: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_images, "STEPS", 2)
    large = class_images.class_images(Store(tmp_path / "large"), base, 5)
    small(monkeypatch, base, room=4)
    with Meter() as meter:
        few = class_images.class_images(Store(tmp_path / "small"), base, 5)
    assert meter.cost.halvings == 1
    assert (few - large).abs().max() <= 1 / 255


def test_class_photos_are_encoded_once_for_a_base_and_its_clones(
    base: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_images, "STEPS", 2)
    store, seen = Store(tmp_path), list[int]()
    with torch.no_grad():
        wanted = base.posterior(class_images.class_images(store, base, 3))
    handle = base.vae.encoder.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
    found = [class_images.class_latents(store, each, 3) for each in (base, base.clone(), base)]
    fewer = class_images.class_latents(store, base, 2)
    handle.remove()
    assert seen == [3, 2]
    for latents in found:
        assert torch.equal(latents.mean, wanted.mean)
        assert torch.equal(latents.std, wanted.std)
    assert len(fewer.mean) == 2
