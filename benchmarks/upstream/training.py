"""DreamBooth, LoRA and Textual Inversion, by the training scripts among diffusers' examples.

Both draw the same noise, timesteps and first weights, in the order of the script; photos are gone through in turn, and
Textual Inversion's one caption is ours. Everything else of the scripts stays: their data sets, loss, optimiser,
clipping and files.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from attacks import ATTACKS, Artifact, FitContext
from attacks.lora import ADAPTER
from bench.images import to_pixels
from bench.models import base as base_module
from bench.models.base import Base
from bench.seeds import generator
from benchmarks.upstream import Comparison, difference, imported, replaced
from tests import tiny
from tests.drawing import stock

REFERENCE = "diffusers/examples"
PHOTOS, STEPS, RANK = 4, 6, 4
PROMPT, CLASS_PROMPT = "a photo of sks person", "a photo of person"


@dataclass(frozen=True)
class Method:
    """One training.

    Attributes:
        script: within the examples.
        attack: ours.
        settings: of ours; steps and batch are added.
        arguments: of the script; what all have in common is added.
    """

    script: str
    attack: str
    settings: dict[str, Any]
    arguments: list[str]


RATES = {"dreambooth": 5e-6, "lora": 1e-4, "textual_inversion": 2e-3}
TEXT, PRIOR = {"train_text_encoder": True}, {"prior_weight": 1.0, "class_count": PHOTOS}
METHODS = {
    "dreambooth": Method("dreambooth/train_dreambooth", "dreambooth", {"preset": "hf"}, []),
    "dreambooth with text encoder and prior": Method(
        "dreambooth/train_dreambooth", "dreambooth", {"preset": "hf"} | TEXT | PRIOR, ["--train_text_encoder"]
    ),
    "lora": Method("dreambooth/train_dreambooth_lora", "lora", {"preset": "hf"}, ["--rank", str(RANK)]),
    "lora with text encoder and prior": Method(
        "dreambooth/train_dreambooth_lora",
        "lora",
        {"preset": "hf"} | TEXT | PRIOR,
        ["--rank", str(RANK), "--train_text_encoder"],
    ),
    "textual_inversion": Method(
        "textual_inversion/textual_inversion",
        "textual_inversion",
        {"preset": "hf", "vectors": 3},
        ["--num_vectors", "3", "--placeholder_token", "<cloak>", "--initializer_token", "person"],
    ),
}


@dataclass
class Draws:
    """What the script drew, in its order."""

    random: torch.Generator
    weights: list[Tensor] = field(default_factory=list)
    normals: list[Tensor] = field(default_factory=list)
    times: list[Tensor] = field(default_factory=list)

    def normal(self, shape: Any) -> Tensor:
        self.normals.append(torch.randn(tuple(shape), generator=self.random))
        return self.normals[-1]

    def time(self, low: int, high: int, shape: Any) -> Tensor:
        made = torch.empty(tuple(shape), dtype=torch.long).random_(low, high, generator=self.random)
        self.times.append(made)
        return self.times[-1]


def compare(clones: Path, root: Path) -> Iterator[Comparison]:
    """Losses of all steps, and weights at the end."""
    base = tiny.tiny_base(root / "parts")
    stock(base).save_pretrained(root / "model")
    photos, strangers = _write(root / "photos", 0), _write(root / "strangers", 1)
    for name, method in METHODS.items():
        draws = Draws(generator("upstream", name))
        with _losses() as theirs:
            weights = _by_script(clones / "diffusers/examples", method, root, root / name, draws)
        with _losses() as ours:
            artifact = _by_us(base, method, photos, strangers, draws)
        assert len(ours) == len(theirs) == STEPS
        losses = torch.tensor([ours, theirs])
        yield Comparison(REFERENCE, f"{name}: losses", difference(*losses), float(losses[0].std()))
        before = _start(base, method, artifact)
        assert artifact.keys() == weights.keys() == before.keys()
        effect = max(difference(artifact[key], before[key]) for key in artifact)
        yield Comparison(
            REFERENCE, f"{name}: weights", max(difference(artifact[key], weights[key]) for key in artifact), effect
        )


def _write(folder: Path, seed: int) -> Tensor:
    """Photos as PNGs, and as the tensor (n, 3, 32, 32)."""
    folder.mkdir()
    photos = tiny.person(seed, count=PHOTOS)
    for number, pixels in enumerate(to_pixels(photos)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return photos


# --- theirs ---------------------------------------------------------------------------------------------------------


def _by_script(examples: Path, method: Method, root: Path, out: Path, draws: Draws) -> Artifact:
    with replaced(_utils(), check_min_version=lambda version: None):
        script = imported(examples / Path(method.script).parent, Path(method.script).name)
    arguments = ["--pretrained_model_name_or_path", root / "model", "--output_dir", out, *method.arguments]
    arguments += ["--resolution", tiny.SIDE, "--center_crop", "--max_train_steps", STEPS]
    arguments += ["--train_batch_size", PHOTOS, "--learning_rate", RATES[method.attack], "--lr_scheduler", "constant"]
    arguments += ["--lr_warmup_steps", 0, "--checkpointing_steps", 10 * STEPS, "--seed", 0]
    if method.attack == "textual_inversion":
        arguments += ["--train_data_dir", root / "photos", "--learnable_property", "object"]
    else:
        arguments += ["--instance_data_dir", root / "photos", "--instance_prompt", PROMPT]
    if "prior_weight" in method.settings:
        arguments += ["--with_prior_preservation", "--class_data_dir", root / "strangers"]
        arguments += ["--class_prompt", CLASS_PROMPT, "--num_class_images", PHOTOS]
    words = [str(argument) for argument in arguments]
    with _told(script, words), _drawn_by(draws), warnings.catch_warnings(action="ignore"):
        told = script.parse_args()
        told.report_to = None  # no tracker
        script.args = told  # a global of theirs when run as a script
        with replaced(script, parse_args=lambda: told):
            script.main(*([told] if method.attack != "textual_inversion" else []))
    return _read(out, method)


@contextmanager
def _told(script: Any, words: list[str]) -> Iterator[None]:
    """The script's command line, and its data in the order of their names, unmirrored, under one caption."""
    import transformers.integrations.peft as integration

    with ExitStack() as stack:
        stack.enter_context(replaced(integration, check_peft_version=lambda min_version: None))  # an older one will do
        stack.enter_context(replaced(sys, argv=["script", *words]))
        stack.enter_context(replaced(torch.utils.data, DataLoader=_InTurn))
        name = "TextualInversionDataset" if hasattr(script, "TextualInversionDataset") else "DreamBoothDataset"
        stack.enter_context(replaced(script, **{name: _sorted(getattr(script, name))}))
        if hasattr(script, "imagenet_templates_small"):
            stack.enter_context(replaced(script, imagenet_templates_small=["a photo of {}"]))
        yield


class _InTurn(torch.utils.data.DataLoader[Any]):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named | {"shuffle": False})


def _sorted(kind: Any) -> Any:
    class Sorted(kind):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            for paths in ("image_paths", "instance_images_path", "class_images_path"):
                if hasattr(self, paths):
                    getattr(self, paths).sort()
            if hasattr(self, "flip_transform"):
                self.flip_transform.p = 0.0

    return Sorted


@contextmanager
def _drawn_by(draws: Draws) -> Iterator[None]:
    from diffusers.models.autoencoders import vae
    from peft.tuners.lora.layer import LoraLayer

    start = LoraLayer.reset_lora_parameters

    def started(layer: Any, name: str, how: Any) -> None:
        start(layer, name, how)
        if how == "gaussian":  # and not when they are loaded again at the end
            draws.weights.append(layer.lora_A[name].weight.detach() * RANK)  # as standard normal ones

    with (
        replaced(vae, randn_tensor=lambda shape, **_: draws.normal(shape)),
        replaced(torch, randn_like=lambda tensor: draws.normal(tensor.shape)),
        replaced(torch, randint=lambda low, high, shape, device=None: draws.time(low, high, shape)),
        replaced(LoraLayer, reset_lora_parameters=started),
    ):
        yield


def _read(out: Path, method: Method) -> Artifact:
    """What the script saved, by our names."""
    if method.attack == "textual_inversion":
        learned: Artifact = load_file(out / "learned_embeds.safetensors")
        return learned
    if method.attack == "lora":
        saved = load_file(out / "pytorch_lora_weights.safetensors")
        return {_lora_name(name): value for name, value in saved.items()}
    parts = {"unet": "diffusion_pytorch_model", "text_encoder": "model"}
    chosen = parts if "train_text_encoder" in method.settings else {"unet": parts["unet"]}
    return {
        f"{part}.{name}": value
        for part, file in chosen.items()
        for name, value in load_file(out / part / f"{file}.safetensors").items()
    }


def _lora_name(name: str) -> str:
    """By our names: theirs differ for the UNet, the text encoder, and from release to release."""
    ends = {
        ("lora.down", "lora_linear_layer.down", "lora_down"): "lora_A",
        ("lora.up", "lora_linear_layer.up", "lora_up"): "lora_B",
    }
    stem = name.removesuffix(".weight")
    for known, ours in ends.items():
        end = next((end for end in (*known, ours) if stem.endswith(f".{end}")), None)
        if end:
            return f"{stem.removesuffix(end)}{ours}.{ADAPTER}.weight"
    raise ValueError(name)


def _utils() -> Any:
    import diffusers.utils

    return diffusers.utils


# --- ours -----------------------------------------------------------------------------------------------------------


def _by_us(base: Base, method: Method, photos: Tensor, strangers: Tensor, draws: Draws) -> Artifact:
    rate = {"learning_rate": RATES[method.attack]}
    made = ATTACKS.create(method.attack, method.settings | {"steps": STEPS, "batch": PHOTOS} | rate).resolved("sd")
    made.prepare(base)
    normals, times, weights = _in_our_order(draws)
    with (
        replaced(base_module, randn=lambda shape, generator, device: next(normals)),
        replaced(Base, random_timesteps=lambda self, count, generator: next(times)),
        replaced(torch, randn=lambda shape, generator=None, **_: next(weights)),
        replaced(torch, randperm=lambda count, generator: torch.arange(count)),
    ):
        artifact = made.fit(photos, FitContext(generator("unused"), lambda base, count: strangers))
    made.reset()
    assert next(normals, None) is next(times, None) is next(weights, None) is None
    return artifact


def _in_our_order(draws: Draws) -> tuple[Iterator[Tensor], Iterator[Tensor], Iterator[Tensor]]:
    """Theirs draws photos and class pictures together, latents first; ours one after the other."""
    normals: list[Tensor] = []
    for latents, noise in zip(draws.normals[::2], draws.normals[1::2], strict=True):
        for half in zip(torch.split(latents, PHOTOS), torch.split(noise, PHOTOS), strict=True):
            normals += half
    times = [half for drawn in draws.times for half in torch.split(drawn, PHOTOS)]
    return iter(normals), iter(times), iter(draws.weights)


def _start(base: Base, method: Method, artifact: Artifact) -> Artifact:
    """The weights before the training."""
    if method.attack == "lora":  # only whether it moved at all: half of it starts at zero
        return {key: torch.zeros_like(value) if "lora_B" in key else value for key, value in artifact.items()}
    if method.attack == "textual_inversion":
        word = base.tokenizer("person", add_special_tokens=False).input_ids
        return {key: base.text_encoder.get_input_embeddings().weight[word].repeat(3, 1) for key in artifact}
    return {
        f"{part}.{key}": value
        for part, m in base.tunable.items()
        for key, value in m.state_dict().items()
        if f"{part}.{key}" in artifact
    }


@contextmanager
def _losses() -> Iterator[list[float]]:
    """The value of everything that is differentiated."""
    found: list[float] = []
    backward = Tensor.backward

    def noting(loss: Tensor, *given: Any, **named: Any) -> None:
        found.append(float(loss.detach()))
        backward(loss, *given, **named)  # type: ignore[no-untyped-call]

    with replaced(Tensor, backward=noting):
        yield found
