"""The second stage of a base, and the identity loss: who is told what, and what the loss looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.models.diffusion.base import DiffusionModel
from bench.zoo.train.base import Diffusion, denoised, graft, pictures
from bench.zoo.train.likeness import TIMESTEPS, Likeness
from bench.zoo.train.names import WAYS, Names
from bench.zoo.train.networks import NETWORKS
from bench.zoo.train.photos import Faces
from tests.support.training_views import PHOTOS, Picture, faces, prepare, rng, views

WEIGHT = 0.5


# the identity loss


def likeness(recogniser: Path) -> tuple[Likeness, Tensor]:
    """The loss, and the latents that show exactly the views."""
    known = views(Picture(), 4)
    return Likeness(known, {"residual": recogniser}, WEIGHT), 2 * (known.pixels(torch.arange(PHOTOS)) * 2 - 1)


def test_an_estimate_that_is_the_photo_costs_nothing_and_another_persons_does(recogniser: Path) -> None:
    loss, right = likeness(recogniser)
    rows, middle = torch.arange(PHOTOS), torch.full((PHOTOS,), sum(TIMESTEPS) // 2)
    same, wrong = (loss.of_steps(shown, rows, middle, rng()).item() for shown in (right, right.roll(1, dims=0)))
    assert abs(same) < 1e-5 < 1e-4 < wrong <= 2 * WEIGHT  # an untrained network hardly tells people apart


def test_only_timesteps_in_between_count(recogniser: Path) -> None:
    loss, right = likeness(recogniser)
    rows, wrong = torch.arange(PHOTOS), right.roll(1, dims=0)
    assert loss.of_steps(wrong, rows, torch.full((PHOTOS,), TIMESTEPS[0] - 1), rng()) == 0
    assert loss.of_steps(wrong, rows, torch.full((PHOTOS,), TIMESTEPS[1]), rng()) == 0
    mixed = torch.tensor([TIMESTEPS[0], *[TIMESTEPS[1]] * (PHOTOS - 1)])
    one = loss.of_steps(wrong[:1], rows[:1], mixed[:1], rng()).item()
    assert loss.of_steps(wrong, rows, mixed, rng()).item() == pytest.approx(one)


def test_gradients_reach_the_estimate(recogniser: Path) -> None:
    loss, right = likeness(recogniser)
    estimate = right.roll(1, dims=0).requires_grad_()
    found = loss.of_steps(estimate, torch.arange(PHOTOS), torch.full((PHOTOS,), 400), rng())
    (gradient,) = torch.autograd.grad(found, estimate)
    assert gradient.abs().amax(dim=(1, 2, 3)).gt(0).all()


def test_every_recogniser_is_asked(recogniser: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_file(NETWORKS["fused"]().state_dict(), tmp_path / "network.safetensors")
    one, right = likeness(recogniser)
    both = Likeness(one._views, {"residual": recogniser, "fused": tmp_path}, WEIGHT)
    other = Likeness(one._views, {"fused": tmp_path}, WEIGHT)
    rows, wrong, middle = torch.arange(PHOTOS), right.roll(1, dims=0), torch.full((PHOTOS,), 400)
    random = rng()
    found = {both.of_steps(wrong, rows, middle, random).item() for _ in range(20)}
    assert found == {loss.of_steps(wrong, rows, middle, rng()).item() for loss in (one, other)}
    assert len(found) == 2


# the second stage


@pytest.fixture
def stage(base: DiffusionModel, tmp_path: Path) -> Iterator[Names]:
    folder = prepare(base, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Faces, "load", lambda _: faces())
        yield names(tmp_path, folder)


def names(cached: Path, base: Path, init: Path | None = None) -> Names:
    """The stage on what is cached in a folder."""
    return Names(
        base=str(base),
        photos="",
        latents=str(cached / "latents.pt"),
        encoder="",
        cache=str(cached / "embeddings.pt"),
        init=str(init) if init else None,
    )


def test_every_way_trains_and_each_its_own_weights(stage: Names) -> None:
    own = {"word": "word.", "tokens": "to_k_ip"}
    for way in WAYS:
        stage.module.zero_grad()
        error, _ = stage._errors(stage._told_step(way, torch.arange(4), torch.Generator().manual_seed(0)))
        error.mean().backward()  # type: ignore[no-untyped-call]
        moved = {name for name, w in stage.module.named_parameters() if w.grad is not None and w.grad.abs().max() > 0}
        assert any(name.startswith("unet.conv_in") for name in moved), way
        assert {key: any(part in name for name in moved) for key, part in own.items()} == {k: k == way for k in own}


def test_untold_is_the_base_itself(stage: Names, base: DiffusionModel) -> None:
    stage._tell("untold")
    noised, hidden = torch.randn(2, *base.latent_shape), torch.randn(2, 24, base.unet.config.cross_attention_dim)
    timesteps, rows = torch.tensor([10, 500]), torch.arange(2)
    with torch.no_grad():
        wanted = base.unet(noised, timesteps, hidden).sample
        found = stage._predict(noised, timesteps, hidden, rows, torch.Generator().manual_seed(0))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
        stage._tell("tokens")
        told = stage._predict(noised, timesteps, hidden, rows, torch.Generator().manual_seed(0))
    assert (told - wanted).abs().max() > 1e-3


def test_the_word_stands_for_the_person_only_where_it_is_asked_to(stage: Names) -> None:
    with torch.no_grad():
        tokens = stage._ids(["a photo of sks person"])
        plain = stage.module["text_encoder"](tokens)[0]
        ada, bob = (stage._hidden(["a photo of sks person"], stage._embeddings[i : i + 1]) for i in (0, 1))
        again = stage.module["text_encoder"](tokens)[0]
    assert torch.equal(plain, again)
    assert (ada - plain).abs().max() > 1e-4
    assert (ada - bob).abs().max() > 1e-4


def test_it_exports_a_stock_base_and_an_adapter(stage: Names, tmp_path: Path) -> None:
    stage.export(tmp_path / "final")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "final" / "base")
    saved = load_file(tmp_path / "final" / "base" / "unet" / "diffusion_pytorch_model.safetensors")
    assert saved.keys() == dict(pipeline.unet.state_dict()).keys()  # nothing of the adapter is left in it
    keys = load_file(tmp_path / "final" / "ip-adapter-faceid.safetensors")
    assert any(key.startswith("image_proj.") for key in keys)
    assert any(key.startswith("ip_adapter.1.to_k_ip") for key in keys)


def test_it_goes_on_from_what_it_exported(stage: Names, tmp_path: Path) -> None:
    with torch.no_grad():
        for weight in stage.module.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)))
    stage.export(tmp_path / "final")
    again = names(tmp_path, tmp_path / "final" / "base", tmp_path / "final" / "ip-adapter-faceid.safetensors")
    for key in ("word", "text_encoder"):
        for mine, other in zip(stage.module[key].parameters(), again.module[key].parameters(), strict=True):
            torch.testing.assert_close(other, mine, rtol=1e-3, atol=1e-3)
    again.export(tmp_path / "again")
    first, second = (load_file(tmp_path / f / "ip-adapter-faceid.safetensors") for f in ("final", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("way", WAYS)
def test_pictures_for_the_grid(stage: Names, base: DiffusionModel, way: str) -> None:
    pictures = stage._draw_pictures(way, stage._held, torch.Generator().manual_seed(0))
    assert pictures.shape == (len(stage._held), 3, base.side, base.side)
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_sampling_is_the_stock_pipelines(base: DiffusionModel) -> None:
    noise = torch.randn(2, *base.latent_shape, generator=torch.Generator().manual_seed(0))
    wanted, empty = base.condition(["a photo of a man"]).expand(2), base.condition([""]).expand(2)
    hidden = torch.cat([wanted.hidden, empty.hidden])

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        answer: Tensor = base.unet(latents, t, hidden).sample
        return answer

    with torch.no_grad():
        found = pictures(base.vae, denoised(predict, noise, base.scheduler.config, 3.0, steps=5))
    torch.testing.assert_close(found, base.sample(wanted, noise, 5, 3.0), atol=1e-4, rtol=0)


def test_a_compiled_base_computes_the_same_and_only_its_training_is_compiled(
    stage: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the compiler, which takes a minute."""
    calls = []

    def compiler(unet: torch.nn.Module) -> object:
        def counted(*arguments: object, **options: object) -> object:
            calls.append(1)
            return unet(*arguments, **options)

        return counted

    monkeypatch.setattr(torch, "compile", compiler)
    parts = (stage._unet, stage.module["text_encoder"], stage._tokenizer, stage._views)
    stage._pipeline.unload_ip_adapter()
    plain, compiled = Diffusion(*parts, v=False), Diffusion(*parts, v=False, compiled=True)
    with torch.no_grad():
        wanted = plain.loss(4, torch.Generator().manual_seed(0))
        assert not calls
        assert torch.equal(compiled.loss(4, torch.Generator().manual_seed(0)), wanted)
        assert calls == [1]
        compiled.module.eval()
        compiled.report()
        assert calls == [1]


def test_a_text_encoder_with_more_tokens_takes_over_what_the_old_one_knows() -> None:
    old, new = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)), nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2))
    before, known = new.state_dict()["0.weight"].clone(), old.state_dict()
    graft(new, old)
    after = new.state_dict()
    assert torch.equal(after["0.weight"], torch.cat([known["0.weight"], before[5:]]))
    assert torch.equal(after["1.weight"], known["1.weight"])
