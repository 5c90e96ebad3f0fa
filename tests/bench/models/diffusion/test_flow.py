"""Flow-matching transformers: what they are told, the sampler and the training, on tiny models of their types."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3
from torch import Tensor

from bench.config.compute import Computing
from bench.core.errors import BenchError
from bench.core.seeding import generator
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.devices import randn
from bench.models.diffusion.flow import FlowModel
from bench.models.diffusion.flux import FluxModel
from bench.models.diffusion.sd3 import Sd3Model
from bench.models.weights.checkpoint import locate
from tests.support import tiny_flow
from tests.support.drawing import GUIDANCE, STEPS, noise, plain, prompts
from tests.support.tiny import SIDE

MADE: dict[str, Callable[[Path], FlowModel]] = {
    "sd3": tiny_flow.sd3,
    "sd3 without T5": lambda folder: tiny_flow.sd3(folder, t5=False),
    "flux": tiny_flow.flux,
}


@pytest.fixture(scope="module", params=list(MADE))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flow") / "tiny"
    MADE[request.param](made)
    return made


@pytest.fixture(scope="module")
def base(folder: Path) -> FlowModel:
    return tiny_flow.loaded(folder)


@pytest.fixture
def latents(base: FlowModel) -> Tensor:
    return torch.randn(3, *base.latent_shape, generator=generator("latents"))


# --- the files ------------------------------------------------------------------------------------------------------


def test_the_type_is_seen_from_the_files(base: FlowModel) -> None:
    three = isinstance(base, Sd3Model) and base.t5
    readers = {
        f"{part}{suffix}" for part in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3")[: 2 + bool(three)]
    }
    parts = {name.split("/")[0] for name in base.checkpoint.files}
    assert parts == {"transformer", "vae", "scheduler"} | readers
    architecture = "SD3Transformer2DModel" if isinstance(base, Sd3Model) else "FluxTransformer2DModel"
    assert base.checkpoint.architecture == architecture


@pytest.mark.parametrize("part", ["tokenizer_2", "text_encoder_2", "scheduler", "transformer/config.json"])
def test_what_is_missing_is_an_error(folder: Path, tmp_path: Path, part: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    gone = copy / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(BenchError, match=f"lacks.*{part}"):
        locate("tiny", str(copy))


def test_a_transformer_of_another_type_is_an_error(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = copy / "transformer" / "config.json"
    written = config.read_text()
    config.write_text(written.replace(locate("tiny", str(folder)).architecture, "PixArtTransformer2DModel"))
    with pytest.raises(BenchError, match="PixArtTransformer2DModel, which is not supported") as caught:
        tiny_flow.loaded(copy)
    assert "SD3Transformer2DModel" in caught.value.fix


def test_it_has_no_unet(base: FlowModel) -> None:
    with pytest.raises(BenchError, match="has no U-Net"):
        _ = base.unet
    with pytest.raises(BenchError, match="no noise schedule of DDPM"):
        base.alpha_bar(torch.tensor([3]))


# --- what it is told and what it draws ------------------------------------------------------------------------------


def test_conditions_are_those_of_the_published_pipeline(base: FlowModel, folder: Path) -> None:
    told, untold = base.condition(prompts()), base.unconditional().expand(2)
    pipeline = tiny_flow.published(folder, base)
    if isinstance(base, FluxModel):
        hidden, pooled, places = pipeline.encode_prompt(prompts(), None, device="cpu")
        assert not places.any()
    else:
        hidden, no_hidden, pooled, no_pooled = pipeline.encode_prompt(prompts(), None, None, device="cpu")
        close(untold.hidden, no_hidden)
        close(untold.pooled, no_pooled)
        assert bool(told.hidden[:, 100:].any()) == bool(base.t5)
    close(told.hidden, hidden)
    close(told.pooled, pooled)


def close(ours: Tensor | None, theirs: Tensor) -> None:
    assert ours is not None
    torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=0)


def test_pictures_are_those_of_the_published_pipeline(base: FlowModel, folder: Path) -> None:
    theirs = tiny_flow.called(tiny_flow.published(folder, base), base)
    ours = plain(base)
    assert float((ours - theirs).abs().max()) < 1e-5
    assert float((plain(base, "dog") - ours).abs().mean()) > 1e-3


def test_a_picture_does_not_depend_on_its_batch(base: FlowModel) -> None:
    alone = base.sample(base.condition(prompts()[1:]), noise(base)[1:], STEPS, GUIDANCE)
    torch.testing.assert_close(plain(base)[1:], alone, atol=1e-5, rtol=0)


def test_latents_are_shifted_and_scaled(base: FlowModel) -> None:
    photos = torch.rand(2, 3, SIDE, SIDE, generator=generator("photos"))
    with torch.no_grad():
        distribution = base.vae.encode(photos * 2 - 1).latent_dist
        expected = (distribution.mean - base.vae.config.shift_factor) * base.vae.config.scaling_factor
        posterior = base.posterior(photos)
        back = (base.vae.decode(distribution.mean).sample / 2 + 0.5).clamp(0, 1)
        torch.testing.assert_close(posterior.mean, expected)
        torch.testing.assert_close(posterior.std, distribution.std * base.vae.config.scaling_factor)
        torch.testing.assert_close(base.decode(posterior.mean), back, atol=1e-5, rtol=0)


# --- how it is noised and trained -----------------------------------------------------------------------------------


def test_timesteps_count_up_with_the_noise_along_the_shifted_schedule(base: FlowModel) -> None:
    timesteps = torch.arange(base.length)
    share, shift = (timesteps + 1) / base.length, base.scheduler.config.shift
    expected = shift * share / (1 + (shift - 1) * share)  # Esser et al. 2024, eq. 23
    if base.scheduler.config.use_dynamic_shifting:  # by the pipeline, for the size of the picture
        expected = share
    torch.testing.assert_close(base.sigma(timesteps).flatten(), expected)


def test_clean_latents_and_noise_come_back_from_the_target(base: FlowModel, latents: Tensor) -> None:
    added, timesteps = torch.randn(latents.shape, generator=generator("noise")), torch.tensor([0, 500, 999])
    noised, target = base.add_noise(latents, added, timesteps), base.target(latents, added, timesteps)
    torch.testing.assert_close(noised[2], added[2])
    torch.testing.assert_close(base.predict_x0(noised, target, timesteps), latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(base.predict_noise(noised, target, timesteps), added, atol=1e-5, rtol=0)


def test_sampling_leaves_the_schedule_of_the_training_alone(base: FlowModel) -> None:
    before = base.scheduler.sigmas.clone()
    plain(base)
    assert torch.equal(base.scheduler.sigmas, before)


def test_losses_are_those_of_diffusers_training(base: FlowModel, latents: Tensor) -> None:
    """By diffusers' own density and weighting, in the order of its script: noise, then timesteps, by their names."""
    told = base.condition(["a photo of sks person"]).expand(len(latents))
    added = randn(latents.shape, generator("noise"), base.device)
    timesteps = base.random_timesteps(len(latents), generator("times"))
    with torch.no_grad():
        ours = base.errors_at(latents, told, timesteps, added)

        scheduler, scheme = base.scheduler, "none" if isinstance(base, FluxModel) else "logit_normal"
        density = compute_density_for_timestep_sampling(scheme, len(latents), 0.0, 1.0, generator=generator("times"))
        chosen = (density * scheduler.config.num_train_timesteps).long()
        sigmas = scheduler.sigmas[chosen].view(-1, 1, 1, 1)
        noised = (1.0 - sigmas) * latents + sigmas * added
        weights = compute_loss_weighting_for_sd3(scheme, sigmas)
        if isinstance(base, FluxModel):
            predicted, target = by_flux(base, noised, scheduler.timesteps[chosen], told), added - latents
        else:
            direction = base.transformer(
                hidden_states=noised,
                timestep=scheduler.timesteps[chosen],
                encoder_hidden_states=told.hidden,
                pooled_projections=told.pooled,
            ).sample
            predicted, target = noised - sigmas * direction, latents  # the preconditioning is the script's default
        theirs = (weights * (predicted - target).square()).mean(dim=(1, 2, 3))
    assert float((ours - theirs).abs().max()) < 1e-5
    assert float(theirs.std()) > 1e-3


def by_flux(base: FlowModel, noised: Tensor, timesteps: Tensor, told: Condition) -> Tensor:
    """What the transformer predicts, packed and unpacked by diffusers' pipeline."""
    count, channels, height, width = noised.shape
    tokens = base.transformer(
        hidden_states=FluxPipeline._pack_latents(noised, count, channels, height, width),
        timestep=timesteps / 1000,
        guidance=torch.ones(count),
        encoder_hidden_states=told.hidden,
        pooled_projections=told.pooled,
        txt_ids=torch.zeros(told.hidden.shape[1], 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(count, height // 2, width // 2, "cpu", torch.float32),
    ).sample
    made: Tensor = FluxPipeline._unpack_latents(tokens, height * base.factor, width * base.factor, base.factor)
    return made


def test_guidance_is_told_to_the_transformer_of_flux(base: FlowModel) -> None:
    if not isinstance(base, FluxModel):
        pytest.skip("guidance is a second pass")
    assert not torch.allclose(plain(base, guidance=1.0), plain(base, guidance=6.0), atol=1e-4)
    with pytest.raises(BenchError, match="guided away"):
        base.sample(base.condition(prompts()), noise(base), 1, 3.0, away_from=base.unconditional())


@pytest.mark.parametrize(
    "computing", [Computing(channels_last=True), Computing(offload=True), Computing(memory="low")], ids=str
)
def test_however_it_computes_the_numbers_are_the_same(base: FlowModel, folder: Path, computing: Computing) -> None:
    other = tiny_flow.loaded(folder, computing)
    torch.testing.assert_close(plain(other), plain(base), atol=1e-5, rtol=0)
    gradients = []
    for each in (base, other):
        photos = torch.rand(2, 3, SIDE, SIDE, generator=generator("photos")).requires_grad_(True)
        told = each.condition(["a photo"]).expand(2)
        each.denoising_errors(each.encode(photos), told, generator("step")).sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(photos.grad)
    torch.testing.assert_close(*gradients)


def test_t5_is_kept_as_precisely_as_the_model_computes(base: FlowModel, folder: Path) -> None:
    half = tiny_flow.loaded(folder, Computing("bf16"))
    if half.t5 is None:
        pytest.skip("it has none")
    assert {weight.dtype for weight in half.t5.encoder.parameters()} <= {torch.bfloat16, torch.float32}
    assert next(half.t5.encoder.parameters()).dtype == torch.bfloat16
    assert {weight.dtype for weight in half.parameters()} == {torch.float32}
    half.freeze()
    assert not any(weight.requires_grad for weight in half.t5.encoder.parameters())
    assert float((plain(half) - plain(base)).abs().mean()) < 0.05
    twin = half.clone()
    assert isinstance(twin, FlowModel)
    assert twin.t5 is half.t5


def test_restoring_is_bit_for_bit(base: FlowModel) -> None:
    before = base.snapshot()
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(0.1)
    base.restore()
    after = base.snapshot()
    assert all(torch.equal(before[part][name], after[part][name]) for part in before for name in before[part])
