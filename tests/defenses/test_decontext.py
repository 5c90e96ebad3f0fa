"""DeContext, on a tiny model of FLUX's type: what the picture looks at, and what every defense promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.compute import Computing
from bench.core.budget import audit
from bench.core.errors import BenchError
from bench.core.images import to_pixels
from bench.core.profiling import counting
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.context_attention import attention_to_photo
from bench.models.diffusion.flow import FlowModel
from bench.models.diffusion.flux import FluxModel
from countermeasures.quantise import Quantise
from defenses import DEFENSES, PHOTOS, Defense
from defenses.decontext import looking_away
from tests.support import tiny, tiny_flow
from tests.support.contexts import defend_context
from tests.support.drawing import plain
from tests.support.plans import planned
from tests.support.tiny import person

SMALL = {"steps": 4, "step": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("decontext") / "tiny"
    tiny_flow.flux(made)
    return made


@pytest.fixture(scope="module")
def base(folder: Path) -> FluxModel:
    made = tiny_flow.loaded(folder)
    assert isinstance(made, FluxModel)
    return made


def made(**settings: Any) -> Defense:
    return DEFENSES.create("decontext", SMALL | settings).resolved("flux")


def protect(base: FlowModel, photos: Tensor, levels: float = 8, seed: int = 0, **settings: Any) -> Tensor:
    try:
        return made(**settings).protect(photos.clone(), defend_context(base, photos=photos, levels=levels, seed=seed))
    finally:
        base.restore()


def given(base: FluxModel, photos: Tensor) -> float:
    """The mean share of its attention that a picture gives to the photos, over draws that no cloak has seen."""
    draw, found = generator("test"), []
    with torch.no_grad(), attention_to_photo(base.transformer, 26) as shares:
        photo, condition = base.encode(photos), base.condition(["a photo of this person"]).expand(len(photos))
        for _ in range(12):
            noise = torch.randn(photo.shape, generator=draw)
            base.predict(noise, torch.full((len(photos),), 990), condition, photo=photo, guidance=3.5)
            found.append(torch.stack(shares).mean())
    return float(torch.stack(found).mean())


# --- what is looked at ----------------------------------------------------------------------------------------------


def test_the_prediction_beside_a_photo_is_that_of_the_stock_pipeline(base: FluxModel, folder: Path) -> None:
    """Of one step from pure noise, which takes away all that is predicted."""
    from diffusers import FluxKontextPipeline

    pipeline = FluxKontextPipeline(**tiny_flow.published(folder, base).components)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(2, *base.latent_shape, generator=generator("noise"))
    photo = base.encode(person(0)).detach()
    told = {"image": photo, "max_area": base.side**2, "_auto_resize": False, "num_inference_steps": 1}
    theirs = pipeline(
        prompt=["smile", "a hat"],
        latents=pipeline._pack_latents(noise, *noise.shape),
        height=base.side,
        width=base.side,
        guidance_scale=3.5,
        output_type="latent",
        **told,
    ).images
    with torch.no_grad():
        last = torch.full((2,), base.length - 1)
        ours = noise - base.predict(noise, last, base.condition(["smile", "a hat"]), photo=photo, guidance=3.5)
    torch.testing.assert_close(pipeline._pack_latents(ours, *ours.shape), theirs, atol=1e-5, rtol=0)


def test_the_shares_are_those_of_the_softmax_that_mixes_the_values(
    base: FluxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes into PyTorch's attention, with its own softmax: how much of values that mark the photo comes out."""
    import diffusers.models.transformers.transformer_flux as flux

    marked: list[Tensor] = []
    attend, tokens = flux.dispatch_attention_fn, 64

    def watched(query: Tensor, key: Tensor, value: Tensor, **more: Any) -> Tensor:
        marks = torch.zeros_like(value)
        marks[:, -tokens:] = 1
        marked.append(attend(query, key, marks, **more)[:, -2 * tokens : -tokens].mean(dim=(1, 2, 3)))
        out: Tensor = attend(query, key, value, **more)
        return out

    monkeypatch.setattr(flux, "dispatch_attention_fn", watched)
    noise = torch.randn(2, *base.latent_shape, generator=generator("noise"))
    photo, condition = base.encode(person(0)), base.condition(["smile", "a hat"])
    assert noise.shape[-1] // 2 == 8, "64 tokens"
    with torch.no_grad(), attention_to_photo(base.transformer, 26) as shares:
        looked = base.predict(noise, torch.full((2,), 990), condition, photo=photo)
    (share,) = shares  # it has one block of one stream, after one of two
    torch.testing.assert_close(share, marked[-1], atol=1e-6, rtol=0)
    assert 0.05 < float(share.min()) < float(share.max()) < 0.95
    with torch.no_grad():
        assert torch.equal(base.predict(noise, torch.full((2,), 990), condition, photo=photo), looked)


def test_gradients_are_the_same_where_activations_are_computed_again(base: FluxModel, folder: Path) -> None:
    sparing = tiny_flow.loaded(folder, Computing(memory="low"))
    assert isinstance(sparing, FluxModel)
    gradients = []
    for each in (base, sparing):
        photos = person(0).requires_grad_(True)
        with attention_to_photo(each.transformer, 26) as shares:
            assert each.transformer.is_gradient_checkpointing == (each is sparing)
            looking_away(each, shares, 2, 0.02, generator("test"))(photos).backward()  # type: ignore[no-untyped-call]
        assert photos.grad is not None
        gradients.append(photos.grad)
    assert float(gradients[0].abs().max()) > 0
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-8, rtol=1e-4)


def test_the_cloak_is_looked_at_less_than_noise_of_its_size(base: FluxModel) -> None:
    clean = person(0)
    cloaked = protect(base, clean, levels=16, steps=20)
    size = 16 * (2 * torch.rand(clean.shape, generator=generator("size")).round() - 1) / 255
    noisy = (clean + size).clamp(0, 1)
    before, after, by_noise = (given(base, photos) for photos in (clean, cloaked, noisy))
    assert after < before
    assert before - after > 3 * abs(before - by_noise)


# --- what every defense promises ------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [0, 6, 12.75])
def test_the_budget_holds_and_is_used(base: FluxModel, levels: float) -> None:
    cloaked = protect(base, person(0), levels, step=9.0)
    assert audit(to_pixels(person(0)), to_pixels(cloaked), Budget(levels), "decontext") == int(levels)


def test_the_seed_decides_everything(base: FluxModel) -> None:
    cloaked = protect(base, person(0))
    assert torch.equal(cloaked, protect(base, person(0)))
    assert not torch.equal(cloaked, protect(base, person(0), seed=1))


def test_the_surrogate_comes_back_as_it_was_and_one_photo_will_do(base: FluxModel) -> None:
    before, weights = plain(base), base.snapshot()
    protect(base, person(0, count=1))
    after = base.snapshot()
    assert all(torch.equal(after[part][key], value) for part in weights for key, value in weights[part].items())
    assert torch.equal(plain(base), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in base.transformer.modules())


def test_it_can_be_made_through_a_countermeasure(base: FluxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, apply = [], Quantise.apply

    def watched(self: Quantise, *given: Any) -> Any:
        seen.append(self)
        return apply(self, *given)

    monkeypatch.setattr(Quantise, "apply", watched)
    cloaked = protect(base, person(0))
    assert not seen
    assert not torch.equal(protect(base, person(0), through=["quantise"]), cloaked)
    assert seen


def test_effort_is_what_passes_through_the_transformer(base: FluxModel) -> None:
    with counting() as passes:
        protect(base, person(0, count=PHOTOS), steps=3)
    assert sum(passes["unet"].values()) / PHOTOS == made(steps=3).effort == 3
    assert made().at_effort(300).effort == 300


def test_the_card_is_there_and_other_bases_are_refused(tmp_path: Path) -> None:
    import defenses.decontext

    card = defenses.decontext.__doc__ or ""
    assert all(word in card for word in ("Idea:", "Attacks:", "udget", "Cost per photo:"))
    unet = tiny.tiny_base(tmp_path / "unet")
    with pytest.raises(BenchError, match="cannot look into tiny"):
        made().protect(person(0), defend_context(unet, photos=person(0)))
    with pytest.raises(BenchError, match="decontext does not work on facelet-1: it wants a model of the family flux"):
        planned("model=facelet-1", "defense=decontext", "attack=lora", "data.limit=1")
