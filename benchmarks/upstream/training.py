"""DreamBooth, LoRA and Textual Inversion, by the training scripts among diffusers' examples.

Both draw the same noise, timesteps and first weights, in the order of the script; photos are gone through in turn, and
Textual Inversion's one caption is ours. Everything else of the scripts stays: their data sets, loss, optimiser,
clipping and files.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from attacks import ATTACKS, Artifact, FitContext
from attacks.lora import ADAPTER
from bench.core.images import to_pixels, to_tensor
from bench.core.seeding import generator
from bench.models.diffusion import base as base_module
from bench.models.diffusion import finetuning
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from benchmarks.upstream import Comparison, difference, imported, replaced
from tests.support import tiny
from tests.support.drawing import stock

REFERENCE = "diffusers/examples"
PHOTOS, RANK = 4, 4
PROMPT, CLASS_PROMPT = "a photo of sks person", "a photo of person"


@dataclass(frozen=True)
class Setup:
    """What all trainings have in common.

    Attributes:
        base: what is trained; as a folder it lies in `root / "model"`.
        root: of that, and of the photos.
        side: of the photos, pixels.
        steps: of the optimiser.
    """

    base: DiffusionModel
    root: Path
    side: int
    steps: int

    @classmethod
    def made(cls, base: DiffusionModel, root: Path, steps: int) -> Setup:
        """Write the base and some photos."""
        stock(base).save_pretrained(root / "model")
        return cls.beside(base, root, steps)

    @classmethod
    def beside(cls, base: DiffusionModel, root: Path, steps: int) -> Setup:
        """Write some photos beside a base that lies there already."""
        for seed, name in enumerate(("photos", "class_images")):
            (root / name).mkdir()
            shown = F.interpolate(tiny.person(seed, count=PHOTOS), (base.side, base.side))
            for number, pixels in enumerate(to_pixels(shown)):
                Image.fromarray(pixels).save(root / name / f"{number}.png")
        return cls(base, root, base.side, steps)

    def photos(self, name: str) -> Tensor:
        """(n, 3, side, side) in [0, 1]."""
        files = sorted((self.root / name).iterdir(), key=lambda file: int(file.stem))
        return to_tensor([np.asarray(Image.open(file)) for file in files])


@dataclass(frozen=True)
class Method:
    """One training.

    Attributes:
        script: within the examples.
        attack: ours.
        settings: of ours; steps and batch are added.
        arguments: of the script; what all have in common is added.
        part: what the script calls what denoises.
    """

    script: str
    attack: str
    settings: dict[str, Any]
    arguments: list[str]
    part: str = "unet"


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

    def share(self, weighting_scheme: str, batch_size: int, **_: Any) -> Tensor:
        """Of a flow's schedule, which begins with the noise, where our timesteps end with it."""
        made = torch.rand(batch_size, generator=self.random)
        self.times.append(999 - (1000 * made).long())
        return made


def compare(clones: Path, root: Path) -> Iterator[Comparison]:
    """Losses of all steps, and weights at the end."""
    setup = Setup.made(tiny.tiny_base(root / "parts"), root, steps=6)
    for name, method in METHODS.items():
        yield from compared(clones, setup, name, method)


def compared(clones: Path, setup: Setup, name: str, method: Method) -> Iterator[Comparison]:
    """The same of one method."""
    draws = Draws(generator("upstream", name))
    with noted() as theirs:
        weights = _by_script(clones, method, setup, setup.root / name, draws)
    with noted() as ours:
        artifact = _by_us(method, setup, draws)
    assert len(ours) == len(theirs) == setup.steps
    losses = torch.tensor([[step.loss for step in steps] for steps in (ours, theirs)])
    yield Comparison(REFERENCE, f"{name}: losses", difference(*losses), float(losses[0].std()))
    before = _start(setup.base, method, artifact)
    buffers = {f"{part}.{name}" for part, module in setup.base.tunable.items() for name, _ in module.named_buffers()}
    assert artifact.keys() == weights.keys() - buffers == before.keys()
    effect = max(difference(artifact[key], before[key]) for key in artifact)
    yield Comparison(
        REFERENCE, f"{name}: weights", max(difference(artifact[key], weights[key]) for key in artifact), effect
    )


# --- theirs ---------------------------------------------------------------------------------------------------------


def _by_script(clones: Path, method: Method, setup: Setup, out: Path, draws: Draws) -> Artifact:
    examples, root = clones / "diffusers" / "examples", setup.root
    with replaced(_utils(), check_min_version=lambda version: None):
        script = imported(examples / Path(method.script).parent, Path(method.script).name)
    arguments = ["--pretrained_model_name_or_path", root / "model", "--output_dir", out, *method.arguments]
    arguments += ["--resolution", setup.side, "--center_crop", "--max_train_steps", setup.steps]
    arguments += ["--train_batch_size", PHOTOS, "--learning_rate", RATES[method.attack], "--lr_scheduler", "constant"]
    arguments += ["--lr_warmup_steps", 0, "--checkpointing_steps", 10 * setup.steps, "--seed", 0]
    if method.attack == "textual_inversion":
        arguments += ["--train_data_dir", root / "photos", "--learnable_property", "object"]
    else:
        arguments += ["--instance_data_dir", root / "photos", "--instance_prompt", PROMPT]
    if "prior_weight" in method.settings:
        arguments += ["--with_prior_preservation", "--class_data_dir", root / "class_images"]
        arguments += ["--class_prompt", CLASS_PROMPT, "--num_class_images", PHOTOS]
    words = [str(argument) for argument in arguments]
    with _told(script, words), _drawn_by(draws, script), warnings.catch_warnings(action="ignore"):
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
        iterdir = Path.iterdir
        stack.enter_context(replaced(Path, iterdir=lambda folder: iter(sorted(iterdir(folder)))))
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
def _drawn_by(draws: Draws, script: Any) -> Iterator[None]:
    from diffusers.models.autoencoders import vae
    from peft.tuners.lora.layer import LoraLayer

    start = LoraLayer.reset_lora_parameters

    def started(layer: Any, name: str, how: Any) -> None:
        start(layer, name, how)
        if how == "gaussian" and not draws.times:  # and not when they are loaded again at the end
            draws.weights.append(layer.lora_A[name].weight.detach() * RANK)  # as standard normal ones

    density = {name: draws.share for name in ("compute_density_for_timestep_sampling",) if hasattr(script, name)}
    with (
        replaced(script, **density),
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
    parts = {method.part: "diffusion_pytorch_model", "text_encoder": "model"}
    chosen = parts if "train_text_encoder" in method.settings else {method.part: parts[method.part]}
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


def _by_us(method: Method, setup: Setup, draws: Draws) -> Artifact:
    more = {"steps": setup.steps, "batch": PHOTOS, "learning_rate": RATES[method.attack]}
    made = ATTACKS.create(method.attack, method.settings | more).resolved("sd")
    made.prepare(setup.base)
    photos, class_images = setup.photos("photos"), setup.photos("class_images")
    normals, times, weights = _in_our_order(draws)
    with (
        replaced(base_module, randn=lambda shape, generator, device: next(normals)),
        replaced(finetuning, randn=lambda shape, generator, device: next(normals)),
        replaced(type(setup.base), random_timesteps=lambda self, count, generator: next(times)),
        replaced(torch, randn=lambda shape, generator=None, **_: next(weights)),
        replaced(torch, randperm=lambda count, generator: torch.arange(count)),
    ):
        artifact = made.fit(photos, FitContext(generator("unused"), lambda base, count: base.posterior(class_images)))
    made.reset()
    assert next(normals, None) is next(times, None) is next(weights, None) is None
    return artifact


def _in_our_order(draws: Draws) -> tuple[Iterator[Tensor], Iterator[Tensor], Iterator[Tensor]]:
    """Latents of photos and of class pictures are drawn together by theirs, one after the other by ours."""
    normals: list[Tensor] = []
    for latents, noise in zip(draws.normals[::2], draws.normals[1::2], strict=True):
        normals += [*torch.split(latents, PHOTOS), noise]
    return iter(normals), iter(draws.times), iter(draws.weights)


def _start(base: DiffusionModel, method: Method, artifact: Artifact) -> Artifact:
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


@dataclass(frozen=True)
class Step:
    """A loss, and when it was differentiated, seconds."""

    loss: float
    time: float


@contextmanager
def noted() -> Iterator[list[Step]]:
    """Everything that is differentiated."""
    found: list[Step] = []
    backward = Tensor.backward

    def noting(loss: Tensor, *given: Any, **named: Any) -> None:
        found.append(Step(float(loss.detach()), time.perf_counter()))
        backward(loss, *given, **named)  # type: ignore[no-untyped-call]

    with replaced(Tensor, backward=noting):
        yield found


# --- how fast -------------------------------------------------------------------------------------------------------


def seconds(clones: Path, root: Path, runs: int = 5) -> Iterator[tuple[str, float, float]]:
    """Training -> seconds of a step by the script and by us, on the embedded model; the median of runs in turn."""
    setup = Setup.made(load_base(locate("facelet-1", "zoo")), root, steps=12)
    for name, method in METHODS.items():
        theirs, ours = list[float](), list[float]()
        for run in range(runs):
            draws = Draws(generator("seconds", name, run))
            with noted() as steps:
                _by_script(clones, method, setup, root / f"{name} {run}", draws)
            theirs.append(_pace(steps))
            with noted() as steps:
                _by_us(method, setup, draws)
            ours.append(_pace(steps))
        yield name, median(theirs), median(ours)


def _pace(steps: list[Step]) -> float:
    """Seconds from one step to the next, the median, without the first, which are slower."""
    times = [step.time for step in steps[2:]]
    return median(later - earlier for earlier, later in pairwise(times))
