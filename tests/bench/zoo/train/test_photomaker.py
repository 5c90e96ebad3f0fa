"""PhotoMaker's training: what it learns from, what of it is trained, and that the attack reads what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers.image_utils import OPENAI_CLIP_STD

from bench.core.images import to_tensor
from bench.data.synthetic import Synthetic
from bench.models.adapters.clip import clip_pixels
from bench.models.adapters.locate import read_groups
from bench.models.adapters.photomaker import PhotoMakerEncoder
from bench.models.diffusion.base import DiffusionModel
from bench.zoo.train.adapter import SCALE, save_groups
from bench.zoo.train.embeddings import tower_pixels
from bench.zoo.train.ip_adapter import fresh
from bench.zoo.train.networks import EMBEDDING
from bench.zoo.train.photomaker import STUDENT, PhotoMaker
from bench.zoo.train.photos import Faces
from tests.support.adapter_files import load, unload
from tests.support.tiny import vision_tower
from tests.support.training_views import faces, prepare


@pytest.fixture(params=[0, 2], ids=["teacher", "teacher with LoRA"])
def part(
    request: pytest.FixtureRequest, base: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PhotoMaker:
    torch.manual_seed(0)
    prepare(base, tmp_path)
    layout = fresh(base.unet, EMBEDDING, faceid=True, rank=request.param)
    layout["ip_adapter"] = {
        name: (0.1 if "lora" in name else 1) * torch.randn_like(value) for name, value in layout["ip_adapter"].items()
    }
    save_groups(tmp_path / "teacher.safetensors", **layout)
    vision_tower(8, seed=0).half().save_pretrained(tmp_path / "tower")  # as the family's is kept
    monkeypatch.setattr(Faces, "load", lambda _: faces())
    return student(tmp_path)


def student(cached: Path, init: Path | None = None) -> PhotoMaker:
    """The training on what is cached in a folder."""
    return PhotoMaker(
        base=str(cached / "base"),
        photos="",
        latents=str(cached / "latents.pt"),
        encoder=str(cached / "tower"),
        pack="",
        cache=str(cached / "embeddings.pt"),
        teacher=str(cached / "teacher.safetensors"),
        rank=4,
        init=str(init) if init else None,
    )


def test_it_learns_what_the_faceid_adapter_predicts(
    part: PhotoMaker, base: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)  # trainings then compute in fp32
    with torch.no_grad():
        for name, weight in part.module.named_parameters():
            if f"lora_B.{STUDENT}" in name:  # fresh ones are zero: a teacher with them would be no other
                weight.copy_(0.1 * torch.randn(weight.shape))
    rows = torch.arange(4)
    step = part._step(rows, torch.Generator().manual_seed(0))
    error, _ = part._errors(step)
    who = F.normalize(part._embeddings[rows], dim=1) * part._shown[:, None]
    layout = read_groups(tmp_path / "teacher.safetensors")
    try:
        load(base, {group: {name: w.float() for name, w in named.items()} for group, named in layout.items()})
        base.pipeline().set_ip_adapter_scale(SCALE)
        extra = {"image_embeds": [who[:, None]]}
        with torch.no_grad():
            taught = base.unet(step.noised, step.timesteps, part._plain, added_cond_kwargs=extra).sample
    finally:
        unload(base)
    torch.testing.assert_close(part._taught, taught, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(error, (step.predicted - part._taught).square().mean(dim=(1, 2, 3)))


def test_the_student_hears_nothing_of_the_teachers_tokens(part: PhotoMaker, base: DiffusionModel) -> None:
    rows, random = torch.arange(2), torch.Generator().manual_seed(0)
    hidden = part._condition(rows, random).detach()
    noised, timesteps = torch.randn(2, *base.latent_shape), torch.tensor([100, 700])
    part._shown = torch.ones(2).bool()
    with torch.no_grad():
        mine, taught = part._predict(noised, timesteps, hidden, rows, random), part._taught
        part._embeddings = part._embeddings.roll(1, dims=0)
        again, other = part._predict(noised, timesteps, hidden, rows, random), part._taught
    assert torch.equal(mine, again)
    assert (taught - other).abs().max() > 1e-4


def test_the_lora_and_the_id_encoder_learn_and_nothing_else(part: PhotoMaker) -> None:
    part.loss(4, torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    moved = {n for n, w in part.module.named_parameters() if w.grad is not None and w.grad.abs().max() > 0}
    assert any("lora_B" in name for name in moved)
    assert any("fuse_module" in name for name in moved)
    assert any("qformer_perceiver" in name for name in moved)
    assert not [n for n in moved if "vision_model" in n or "to_k_ip" in n or n.startswith("text_encoder")]
    assert all("lora" in name for name in moved if name.startswith("unet"))


def test_the_attack_reads_what_it_writes(part: PhotoMaker, tmp_path: Path) -> None:
    part.export(tmp_path / "final")
    saved = read_groups(tmp_path / "final" / "photomaker.safetensors")
    encoder = saved["id_encoder"]
    assert any(key.startswith("qformer_perceiver.") for key in encoder)
    width = part._unet.config.cross_attention_dim
    again = PhotoMakerEncoder(part._encoder.config, perceiver=(EMBEDDING, 512, 2))
    again.load_state_dict({key: w.float() for key, w in encoder.items()})
    assert len(again.fuse_module.layer_norm.weight) == width
    lora = saved["lora_weights"]
    assert any(key.startswith("unet.") for key in lora)
    assert all(key.endswith(("lora_A.weight", "lora_B.weight")) for key in lora if key.startswith("unet."))


def test_it_goes_on_from_what_it_exported(part: PhotoMaker, tmp_path: Path) -> None:
    with torch.no_grad():
        for weight in part.module.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn(weight.shape))
    part.export(tmp_path / "final")
    student(tmp_path, tmp_path / "final" / "photomaker.safetensors").export(tmp_path / "again")
    first, second = (read_groups(tmp_path / f / "photomaker.safetensors") for f in ("final", "again"))
    for group in ("id_encoder", "lora_weights"):
        assert first[group].keys() == second[group].keys()
        assert all(torch.equal(first[group][key], second[group][key]) for key in first[group])


def test_in_training_the_tower_sees_what_it_sees_in_the_attack() -> None:
    random = torch.Generator().manual_seed(0)
    photos = to_tensor([photo.pixels for photo in Synthetic(limit=1).load(128).identities[0].protect])
    noisy = 0.3 + 0.4 * torch.rand(4, 3, 128, 128, generator=random)
    spread = torch.tensor(OPENAI_CLIP_STD)[:, None, None] * 255
    for seen in (photos, noisy):
        difference = ((tower_pixels(seen, 96) - clip_pixels(seen, 96)) * spread).abs()
        assert difference.mean() < 0.5  # grey levels: one is rounded, twice
        assert difference.max() < 8
    sharp = (torch.rand(4, 3, 128, 128, generator=random) > 0.5).float()
    assert tower_pixels(sharp, 96).aminmax() == clip_pixels(sharp, 96).aminmax()  # neither goes beyond black and white
