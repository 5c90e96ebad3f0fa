"""The model layer: encode, predict, restore, and what the checkpoint loader refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bench.core.errors import BenchError
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from bench.models.weights.checkpoint import locate
from bench.models.weights.files import ZOO


def test_restore_is_bit_for_bit(base: DiffusionModel) -> None:
    before = {k: v.clone() for k, v in base.unet.state_dict().items()}
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    assert any(not torch.equal(v, before[k]) for k, v in base.unet.state_dict().items())
    base.restore()
    assert all(torch.equal(v, before[k]) for k, v in base.unet.state_dict().items())
    assert not any(p.requires_grad for p in base.unet.parameters())


def test_restore_refuses_a_module_that_still_carries_an_adapter(base: DiffusionModel) -> None:
    base.unet.stowaway = torch.nn.Linear(2, 2)
    try:
        with pytest.raises(RuntimeError, match="stowaway"):
            base.restore()
    finally:
        del base.unet.stowaway
    base.restore()


def test_a_clone_trains_alone(base: DiffusionModel) -> None:
    clone = base.clone()
    with torch.no_grad():
        for weight in clone.parameters():
            weight.zero_()
    assert all(float(p.abs().sum()) > 0 for p in base.unet.conv_in.parameters())


def test_encoding_is_differentiable_and_decoding_inverts_it(base: DiffusionModel, photos: torch.Tensor) -> None:
    leaf = photos.clone().requires_grad_(True)
    base.encode(leaf).square().sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert float(leaf.grad.abs().sum()) > 0
    with torch.no_grad():
        again = base.decode(base.encode(photos))
    psnr = -10 * torch.log10((again - photos).square().mean())
    assert psnr > 23  # the VAE's published reconstruction is 27 dB on average


def test_many_pictures_are_decoded_some_at_a_time_unless_gradients_are_wanted(
    base: DiffusionModel, photos: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        latents = base.encode(photos[torch.arange(5) % len(photos)])
        whole, sizes = base.decode(latents), list[int]()
        monkeypatch.setattr("bench.models.diffusion.latents.DECODED", 2 * photos[0, 0].numel())
        handle = base.vae.decoder.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
        parts = base.decode(latents)
    base.decode(latents)
    handle.remove()
    assert sizes == [2, 2, 1, 5]
    torch.testing.assert_close(parts, whole)


def test_many_photos_are_encoded_some_at_a_time_unless_gradients_are_wanted(
    base: DiffusionModel, photos: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same latents; what the encoder sees at once is as large as it may be."""
    many = photos[torch.arange(5) % len(photos)] * torch.linspace(0.5, 1, 5)[:, None, None, None]
    whole, sizes = base.posterior(many), list[int]()
    monkeypatch.setattr("bench.models.diffusion.latents.ENCODED", 2 * many[0, 0].numel())
    handle = base.vae.encoder.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
    with torch.no_grad():
        parts = base.posterior(many)
    base.posterior(many)
    handle.remove()
    assert sizes == [2, 2, 1, 5]
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.std, whole.std)


def test_targets_of_epsilon_and_velocity_models(base: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    latents, noise = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16)
    timesteps = torch.tensor([10, 900])
    assert torch.equal(base.target(latents, noise, timesteps), noise)

    alphas = base.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    velocity = alphas.sqrt() * noise - (1 - alphas).sqrt() * latents  # Salimans and Ho 2022, appendix D
    original = base.scheduler
    try:
        base.scheduler = type(original).from_config(original.config, prediction_type="v_prediction")
        assert torch.allclose(base.target(latents, noise, timesteps), velocity, atol=1e-5)
        base.scheduler = type(original).from_config(original.config, prediction_type="sample")
        with pytest.raises(BenchError, match="sample"):
            base.target(latents, noise, timesteps)
    finally:
        base.scheduler = original


def test_denoising_error_is_that_of_the_formula(base: DiffusionModel, photos: torch.Tensor) -> None:
    condition = base.condition(["a photo of a man"]).expand(len(photos))
    with torch.no_grad():
        latents = base.encode(photos)
        errors = base.denoising_errors(latents, condition, torch.Generator().manual_seed(3))
        generator = torch.Generator().manual_seed(3)
        timesteps = torch.randint(0, 1000, (len(photos),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        alphas = base.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noised = alphas.sqrt() * latents + (1 - alphas).sqrt() * noise
        expected = (base.unet(noised, timesteps, condition.hidden).sample - noise).square().mean((1, 2, 3))
    assert torch.allclose(errors, expected, atol=1e-5)


def test_a_generated_picture_does_not_depend_on_its_batch(base: DiffusionModel) -> None:
    noise = torch.stack([randn(base.latent_shape, torch.Generator().manual_seed(i), base.device) for i in range(3)])
    condition = base.condition(["a photo of a woman"])
    together = base.sample(condition.expand(3), noise, 5, 3.0)
    alone = base.sample(condition.expand(1), noise[1:2], 5, 3.0)
    assert torch.allclose(together[1:2], alone, atol=1e-3)
    assert together.shape == (3, 3, base.side, base.side)
    assert float(together.std()) > 0.05


def test_fingerprint_names_the_weights_and_not_the_place(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ZOO / "facelet-1", copy)
    shipped, local = locate("facelet-1", "zoo"), locate("mine", str(copy))
    assert shipped.fingerprint == local.fingerprint
    config = copy / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 8}))
    assert locate("mine", str(copy)).fingerprint != shipped.fingerprint


@pytest.mark.parametrize("damage", ["empty", "missing"])
def test_damaged_weights_are_an_error_with_a_fix(tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ZOO / "facelet-1", copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    if damage == "empty":
        weights.write_bytes(b"")
    else:
        shutil.rmtree(weights.parent)
    with pytest.raises(BenchError) as caught:
        locate("mine", str(copy))
    assert "unet" in caught.value.message
    assert caught.value.fix


def test_shipped_weights_must_have_the_published_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ZOO / "facelet-1", tmp_path / "facelet-1")
    shutil.copy(ZOO / "manifest.json", tmp_path)
    for module in ("checkpoint", "files"):
        monkeypatch.setattr(f"bench.models.weights.{module}.ZOO", tmp_path)
    locate("facelet-1", "zoo")
    weights = tmp_path / "facelet-1" / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(BenchError, match="damaged"):
        locate("facelet-1", "zoo")


def test_a_folder_that_is_not_there_is_not_looked_up_on_the_hub() -> None:
    with pytest.raises(BenchError, match="no such folder"):
        locate("mine", "./nowhere")


def test_a_hub_id_offline_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchError, match="nobody/nothing") as caught:
        locate("mine", "nobody/nothing", mirrors=["somebody/copy"])
    assert "model.source=/path" in caught.value.fix
    assert "model.source=somebody/copy" in caught.value.fix
