"""A GPU that trains or cloaks need not wait for the computer at any step: what it waits for is before the first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, FitContext
from bench.core.seeding import generator
from bench.models.diffusion import devices
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from defenses import DEFENSES
from tests.support import tiny, tiny_flow
from tests.support.contexts import defend_context
from tests.support.waits import META, Waits

PHOTOS = torch.rand(3, 3, tiny.SIDE, tiny.SIDE, device=META)
FLOWS = {"sd3": tiny_flow.sd3, "flux": tiny_flow.flux}
PRIOR = {"prior_weight": 1.0, "class_count": 3, "batch": 2}


@pytest.fixture(scope="module")
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    folder = tmp_path_factory.mktemp("base")
    if request.param in FLOWS:
        made: DiffusionModel = FLOWS[request.param](folder)
    else:
        made = tiny.tiny_base(folder, xl=request.param == "sdxl")
    for part in (*made._modules.values(), *made._readers):
        part.to(META)
    made.device = META
    latents = torch.zeros(1, *made.latent_shape, device=META)
    made.add_noise(latents, latents, torch.zeros(1, dtype=torch.long, device=META))  # the first moves the schedule
    made.remember = made.restore = lambda: None  # type: ignore[method-assign]
    return made


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What is pinned before it is copied; autocast and fused optimisers do not know the device."""
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    adamw = torch.optim.AdamW
    monkeypatch.setattr(devices, "PINNED", ("meta",))
    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(DiffusionModel, "_autocast", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(torch.optim, "AdamW", lambda weights, fused=False, **rest: adamw(weights, **rest))
    return pinned


def more(work: Callable[[int], Any], pinned: list[Tensor]) -> int:
    """How often three steps wait beyond what one step waits; they copy more, and nothing but what is pinned."""
    counts, copies = list[int](), list[int]()
    for steps in (1, 3):
        pinned.clear()
        with Waits() as waits:
            work(steps)
        counts.append(waits.count)
        copies.append(len(pinned))
    assert copies[1] > copies[0]
    return counts[1] - counts[0]


@pytest.mark.parametrize(
    ("name", "base"),
    [
        *(("dreambooth", family) for family in ("sd", "sdxl", "sd3", "flux")),
        ("lora", "sd"),
        ("textual_inversion", "sdxl"),
    ],
    indirect=["base"],
)
def test_no_step_of_a_training_waits(name: str, base: DiffusionModel, as_on_a_gpu: list[Tensor]) -> None:
    def fit(steps: int) -> None:
        prior = {} if name == "textual_inversion" else PRIOR | {"train_text_encoder": True}
        attack = ATTACKS.create(name, prior | {"steps": steps}).resolved("sd")
        attack.prepare(base)
        attack.fit(PHOTOS, FitContext(generator("fit"), lambda base, count: base.posterior(PHOTOS[:count])))
        attack.reset()

    assert more(fit, as_on_a_gpu) == 0


@pytest.mark.parametrize("base", ["sd"], indirect=True)
@pytest.mark.parametrize(
    ("name", "loop", "settings"),
    [
        ("aspl", "pgd_steps", {"rounds": 1, "surrogate_steps": 1}),
        ("disdiff", "pgd_steps", {"rounds": 1, "surrogate_steps": 1, "search": False}),
        ("mist", "steps", {}),
    ],
)
def test_no_step_of_a_cloak_waits(
    name: str, loop: str, settings: dict[str, Any], base: DiffusionModel, as_on_a_gpu: list[Tensor]
) -> None:
    def protect(steps: int) -> None:
        defense = DEFENSES.create(name, settings | {loop: steps}).resolved("facelet")
        defense.protect(PHOTOS.clone(), defend_context(base, photos=PHOTOS))

    assert more(protect, as_on_a_gpu) == 0


def test_what_waits_is_counted() -> None:
    device, drawn = torch.zeros(3, device=META), torch.zeros(3)
    waiting: list[Callable[[], Tensor]] = [
        lambda: drawn.to(META),
        lambda: device.copy_(drawn),
        lambda: device[torch.tensor([1, 2])],
        lambda: torch.as_tensor(drawn, device=META),
    ]
    for wait in waiting:
        with Waits() as waits:
            wait()
        assert waits.count == 1
    with pytest.raises(RuntimeError, match="meta"):
        device.sum().item()
    with Waits() as waits:
        randn((3,), generator(0), META)
        drawn.to(torch.float64)
        device[torch.tensor([1, 2], device=META)]
    assert waits.count == 0
