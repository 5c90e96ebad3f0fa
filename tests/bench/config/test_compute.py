"""A base computes the same in another memory layout, compiled, or with its text encoders out of the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import FitContext
from attacks.dreambooth import DreamBooth
from attacks.lora import Lora
from attacks.textual_inversion import TextualInversion
from bench.config.compute import Computing
from bench.config.schema import ModelSettings
from bench.core.code_version import Module, forget
from bench.core.seeding import generator
from bench.models.diffusion.attention import watched
from bench.models.diffusion.finetuning import _adamw, finetune
from bench.models.diffusion.loading import load_base
from bench.models.diffusion.model_cache import Pool
from bench.models.diffusion.recipe import Recipe
from bench.models.weights.checkpoint import locate
from tests.support import tiny

FULL: dict[str, Any] = {"steps": 2, "learning_rate": 1e-3, "batch": 2, "preset": "hf"}
ATTACKS: dict[str, Callable[[], Any]] = {
    "dreambooth": lambda: DreamBooth(**FULL, train_text_encoder=True, prior_weight=0.0),
    "lora": lambda: Lora(**FULL, rank=2),
    "textual_inversion": lambda: TextualInversion(**FULL, vectors=2),
    "textual_inversion, per layer": lambda: TextualInversion(**FULL, vectors=2, per_layer=True),
}


@pytest.fixture(scope="module", params=[False, True], ids=["sd", "sdxl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    tiny.tiny_base(made, xl=request.param)
    return made


def attacked(folder: Path, attack: str, computing: Computing) -> Tensor:
    """Pictures by a model that was personalised and asked, both on a base that computes so."""
    base = load_base(locate("tiny", str(folder)), computing=computing)
    method = ATTACKS[attack]().resolved("sdxl" if len(base.text_encoders) > 1 else "sd")
    method.prepare(base)
    photos = torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=generator("photos"))
    artifact = method.fit(photos, FitContext(generator("fit"), lambda base, count: base.posterior(photos)))
    method.reset()
    noise = torch.randn(2, *base.latent_shape, generator=generator("noise"))
    with torch.no_grad():
        pictures: Tensor = method.generate(artifact, ["a photo of {subject}"] * 2, noise, 2, 3.0)
    method.reset()
    return pictures


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "computing", [Computing(channels_last=True), Computing(offload=True), Computing(memory="low")], ids=str
)
def test_attacks_find_the_same(folder: Path, attack: str, computing: Computing) -> None:
    assert torch.allclose(attacked(folder, attack, computing), attacked(folder, attack, Computing()), atol=2e-4)


def test_with_little_memory_less_is_kept_for_gradients(folder: Path) -> None:
    """What autograd keeps of a step, and that looks at the attention, which are not computed twice, go on."""
    kept: dict[str, int] = {}
    gradients: dict[str, Tensor] = {}
    for memory in ("normal", "low"):
        base = load_base(locate("tiny", str(folder)), computing=Computing(memory=memory))
        photos = torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=generator("photos")).requires_grad_(True)
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage._cdata] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = base.denoising_errors(base.encode(photos), base.condition(["x"]).expand(2), generator("step")).sum()
        kept[memory] = sum(sizes.values())
        with watched(base.unet, {8}) as maps:
            latents = base.encode(photos)
            base.predict(latents, torch.tensor([3, 700]), base.condition(["x"]).expand(2))
        (loss + maps.cross[0].square().sum()).backward()  # type: ignore[no-untyped-call]
        assert photos.grad is not None
        gradients[memory] = photos.grad
        assert base.unet.is_gradient_checkpointing == (memory == "low")
    assert kept["low"] < 0.5 * kept["normal"]
    torch.testing.assert_close(gradients["low"], gradients["normal"])


def test_eight_bit_states_are_for_gpus_and_enter_keys(folder: Path) -> None:
    base = load_base(locate("tiny", str(folder)), computing=Computing(memory="low"))
    made = _adamw(base)([torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(made, torch.optim.AdamW), "here, where there is none"
    assert Computing(memory="low").arithmetic == "fp32+low"


def test_channels_stay_last_in_a_clone_and_after_restoring(folder: Path) -> None:
    base = load_base(locate("tiny", str(folder)), computing=Computing(channels_last=True))
    base.restore()
    for each in (base, base.clone()):
        for part in (each.unet, each.vae.decoder):
            weight = part.conv_in.weight
            assert weight.is_contiguous(memory_format=torch.channels_last)
            assert not weight.is_contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_compiled_base_finds_the_same(folder: Path, attack: str) -> None:
    compiled = attacked(folder, attack, Computing(compile=True))
    assert torch.allclose(compiled, attacked(folder, attack, Computing()), atol=2e-3)


def test_text_encoders_wait_elsewhere_unless_they_learn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(locate("tiny", str(folder)), computing=Computing(offload=True))
    base.device = torch.device("cpu:0")  # stands for a GPU: another name than where they wait
    count, moves = len(base.text_encoders), list[str]()
    for encoder in base.text_encoders:
        monkeypatch.setattr(encoder, "to", lambda place: moves.append(str(place)))
    base.condition(["a photo of person"])
    assert moves == ["cpu:0"] * count + ["cpu"] * count
    moves.clear()
    base.parameters(text_encoder=True)
    base.condition(["a photo of person"])
    assert moves == ["cpu:0"] * count


def test_a_frozen_text_encoder_reads_each_prompt_once(folder: Path) -> None:
    base = load_base(locate("tiny", str(folder)))
    photos = base.posterior(torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=generator("photos")))
    recipe = Recipe(steps=3, learning_rate=1e-3, batch=1, prior_weight=1.0, class_count=2)
    read = list[None]()
    base.text_encoder.register_forward_hook(lambda *_: read.append(None))
    for text_encoder, expected in ((False, 2), (True, 2 * 3)):
        read.clear()
        finetune(base, base.parameters(text_encoder), photos, recipe, generator("fit"), class_images=photos)
        assert len(read) == expected


def test_what_changes_digits_changes_keys_and_what_does_not_does_not() -> None:
    def fingerprint(**settings: Any) -> str:
        return Pool("cpu").fingerprint(ModelSettings(name="facelet-1", precision="fp32", **settings))

    assert fingerprint(offload=True) == fingerprint()
    assert len({fingerprint(), fingerprint(channels_last=True), fingerprint(compile=True)}) == 3


@pytest.mark.parametrize("kind", ["unet", "sdxl", "flow", "sd3"])
def test_the_code_of_a_base_changes_keys(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages import what all bases have in common, and nothing of how each predicts."""
    pool, model = Pool("cpu"), ModelSettings(name="facelet-1", precision="fp32")
    before, parts = pool.fingerprint(model), Module.parts

    def edited(self: Module) -> list[str]:
        own: list[str] = parts.__get__(self)
        return [*own, "edited"] if self.name == f"bench.models.diffusion.{kind}" else own

    forget()
    monkeypatch.setattr(Module, "parts", property(edited))
    changed = pool.fingerprint(model)
    monkeypatch.undo()
    forget()
    assert changed != before
    assert pool.fingerprint(model) == before
