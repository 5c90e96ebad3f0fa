"""Released code of other authors, as functions that make a cloak; read from clones, and none of it is kept here.

It is changed only where it could not run beside ours: its device is not always a GPU; it computes in fp32, as ours
does; what only its `main` imports is left out; Mist's model is a wrapper around a diffusers model, and stand-ins take
the place of the few functions that Mist needs from advertorch, which no longer installs; and SimAC's features are read
by hooks, since it names the blocks of Stable Diffusion's UNet one by one.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bench.core.images import to_pixels
from bench.models.diffusion.base import DiffusionModel
from defenses.targets import pattern

PROMPT, CLASS_PROMPT = "a photo of sks person", "a photo of person"
RATE = 1e-4
"""Learning rate of all surrogates."""

Cloak = Callable[[Tensor, Tensor, int], Tensor]
"""(photos, reference photos, seed) -> cloaked photos, all in [0, 1]."""


def module_from(source: str, name: str) -> Any:
    """A module made of source text."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return module


def source(file: Path, device: str) -> str:
    """A file's text, for a device that may be no GPU, in fp32, and without what only its `main` imports."""
    text = file.read_text().replace('torch.device("cuda")', f'torch.device("{device}")')
    text = text.replace("torch.bfloat16", "torch.float32")
    return re.sub(r"^(import (datasets|wandb)|from robust_facecloak.*)\n", "", text, flags=re.MULTILINE)


def recipe(base: DiffusionModel, classes: Tensor, step: float, budget: float) -> SimpleNamespace:
    """The command line of Anti-DreamBooth and of those that began with its code; photos are in [-1, 1]."""
    folder = Path(tempfile.mkdtemp())
    for index, picture in enumerate(to_pixels(classes)):
        Image.fromarray(picture).save(folder / f"{index:03}.png")
    return SimpleNamespace(
        learning_rate=RATE,
        instance_prompt=PROMPT,
        class_prompt=CLASS_PROMPT,
        class_data_dir=str(folder),
        resolution=base.side,
        center_crop=True,
        with_prior_preservation=True,
        prior_loss_weight=1.0,
        train_text_encoder=True,
        max_grad_norm=1.0,
        target_image_path=None,
        mixed_precision="fp32",
        pgd_alpha=step / 127.5,
        pgd_eps=budget / 127.5,
    )


def learners(base: DiffusionModel) -> list[Any]:
    """A UNet and a text encoder of one's own, to be trained."""
    return [copy.deepcopy(module).requires_grad_(True) for module in (base.unet, base.text_encoder)]


def aspl(base: DiffusionModel, clone: Path, classes: Tensor, budget: int, step: float, rounds: int) -> Cloak:
    """Anti-DreamBooth's `attacks/aspl.py`: its inner loops, called as its `main` calls them."""
    module = module_from(source(clone / "attacks" / "aspl.py", str(base.device)), "released_aspl")
    return _in_turns(base, module, recipe(base, classes, step, budget), rounds)


def _in_turns(base: DiffusionModel, module: Any, args: SimpleNamespace, rounds: int) -> Cloak:
    """ASPL's rounds; with SimAC's choice of timesteps if the module has one."""

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        clean, original = reference * 2 - 1, photos * 2 - 1
        cloaked, models = original.clone(), learners(base)
        shared = (base.tokenizer, base.scheduler, copy.deepcopy(base.vae))
        chosen = []
        if hasattr(module, "select_timestep"):
            chosen = [module.select_timestep(args, models, *shared, cloaked, original, None)]
        for _ in range(rounds):
            student = module.train_one_epoch(args, copy.deepcopy(models), *shared, clean, 3)
            cloaked = module.pgd_attack(args, student, *shared, cloaked, original, None, 6, *chosen)
            models = module.train_one_epoch(args, models, *shared, cloaked, 3)
        return cloaked / 2 + 0.5

    return _quiet(cloak)


def simac(base: DiffusionModel, clone: Path, classes: Tensor, budget: int, step: float, rounds: int) -> Cloak:
    """SimAC's `attacks/time_feature.py`: its choice of timesteps, then ASPL's rounds with its own `pgd_attack`."""
    module = module_from(source(clone / "attacks" / "time_feature.py", str(base.device)), "released_simac")

    def watch(unet: Any) -> None:
        for block in unet.up_blocks[-1].resnets:
            block.conv2.register_forward_hook(lambda conv, _inputs, output: setattr(conv, "seen", output))

    def features(up_blocks: Any, down_blocks: Any) -> list[Any]:
        seen = torch.stack([block.conv2.seen for block in up_blocks[-1].resnets])
        return [None, None, None, seen, None, None, None, None]

    module.set_unet_attr, module.save_feature_maps = watch, features
    args = recipe(base, classes, step, budget)
    args.pgd_eps = 2 * budget  # in 255ths, though photos are in [-1, 1]
    args.max_steps, args.delta_t = 50, 20
    return _in_turns(base, module, args, rounds)


def fsmg(base: DiffusionModel, clone: Path, classes: Tensor, budget: int, step: float, steps: int) -> Cloak:
    """Anti-DreamBooth's `attacks/fsmg.py`: the loop of its `main`, against a surrogate as it is."""
    text = source(clone / "attacks" / "fsmg.py", str(base.device))
    start = text.index("    for _ in range(args.max_train_steps):\n        with accelerator.accumulate(unet):")
    loop = text[start : text.index("        # Checks if the accelerator has performed", start)]
    names = "args, accelerator, unet, text_encoder, vae, noise_scheduler, pertubed_images, original_images, input_ids"
    header = "import itertools\nimport torch\nimport torch.nn.functional as F\n\n"
    header += f"def loop({names}):\n    weight_dtype = torch.float32\n"
    module = module_from(f"{header}{loop}    return pertubed_images\n", "released_fsmg")
    args = recipe(base, classes, step, budget)
    args.max_train_steps = steps
    accelerator = SimpleNamespace(
        accumulate=lambda model: contextlib.nullcontext(),
        backward=lambda loss: loss.backward(),
        clip_grad_norm_=torch.nn.utils.clip_grad_norm_,
        device=base.device,
        sync_gradients=True,
    )

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        original, ids = photos * 2 - 1, base.ids([PROMPT]).repeat(len(photos), 1)
        unet, text_encoder = learners(base)
        moved = module.loop(
            args, accelerator, unet, text_encoder, base.vae, base.scheduler, original.clone(), original, ids
        )
        return Tensor(moved) / 2 + 0.5

    return _quiet(cloak)


def metacloak(
    base: DiffusionModel, clone: Path, classes: Tensor, budget: int, step: float, pool: tuple[int, int], unrolls: int
) -> Cloak:
    """MetaCloak's `train_few_step` and `RobustPGDAttacker`, called as its `main` calls them; one pass over the pool.

    Args:
        pool: fine-tuning steps, and after how many of them a state is kept.
        unrolls: blocks of six steps of the cloak and two of the surrogate, from each state.
    """
    from torchvision import transforms

    root, device = clone / "robust_facecloak", str(base.device)
    data = module_from(source(root / "model" / "db_train.py", device), "released_metacloak_data")
    text = source(root / "attacks" / "algs" / "metacloak.py", device)
    module = module_from(text[: text.index("def load_model")], "released_metacloak")
    module.DreamBoothDatasetFromTensor = data.DreamBoothDatasetFromTensor
    worker = module_from(source(root / "attacks" / "worker" / "robust_pgd_worker.py", device), "released_worker")
    args = recipe(base, classes, step, budget)
    views = [transforms.GaussianBlur(7), transforms.Resize(base.side), transforms.CenterCrop(base.side)]
    views += [transforms.RandomHorizontalFlip(), transforms.Normalize([127.5] * 3, [127.5] * 3)]

    class Nobody:
        """The attacker in the loop, whose radius is 0 as published."""

        def perturb(self, models: Any, photos: Tensor, *rest: Any) -> Tensor:
            return photos

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        original, models = photos * 255, learners(base)
        shared = tokenizer, scheduler, vae = base.tokenizer, base.scheduler, copy.deepcopy(base.vae)
        defender = worker.RobustPGDAttacker(
            budget, 6, step, False, transforms.Compose(views), 1, Nobody(), args=args, x_range=[0, 255]
        )
        _, states = module.train_few_step(args, models, *shared, original, pool[0], True, pool[1])
        cloaked, (unet, text_encoder) = original.clone(), models
        for state in states.values():
            unet.load_state_dict(state["unet"])
            text_encoder.load_state_dict(state["text_encoder"])
            surrogate = [unet, text_encoder]
            for _ in range(unrolls):
                cloaked = defender.perturb(surrogate, cloaked, original, vae, tokenizer, scheduler)
                surrogate = module.train_few_step(args, surrogate, *shared, cloaked.float(), 2)
        return cloaked / 255

    return _quiet(cloak)


def photoguard(base: DiffusionModel, clone: Path, budget: int, steps: int) -> Cloak:
    """PhotoGuard's `pgd` of the img2img notebook, one photo at a time as there."""
    notebook = json.loads((clone / "notebooks" / "demo_simple_attack_img2img.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (text,) = [cell for cell in cells if cell.startswith("def pgd(")]
    module = module_from("import torch\nfrom tqdm import tqdm\n" + text.replace(".cuda()", ""), "released_photoguard")
    radius = budget / 127.5

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        settings = {"eps": radius, "step_size": radius / 3, "iters": steps, "clamp_min": -1, "clamp_max": 1}
        made = [module.pgd(photo[None] * 2 - 1, model=base.vae.encode, **settings) for photo in photos]
        return torch.cat(made) / 2 + 0.5

    return _quiet(cloak)


def mist(base: DiffusionModel, clone: Path, budget: int, step: float, steps: int) -> Cloak:
    """Mist's `target_model` and `LinfPGDAttack`, fused mode, one photo at a time as there."""
    sys.modules |= _advertorch()
    pgd = module_from((clone / "Masked_PGD.py").read_text(), "released_masked_pgd")
    text = (clone / "mist_v3.py").read_text()
    body = text[text.index("class identity_loss") : text.index("def init(")]
    header = "import torch\nimport torch.nn as nn\nimport torchvision.transforms as transforms\n"
    module = module_from(f"{header}device = '{base.device}'\n{body}", "released_mist")
    net = module.target_model(_LatentDiffusion(base), [CLASS_PROMPT], mode=2, rate=10000, input_size=base.side)
    net.target_info = pattern(base.side).to(base.device) * 2 - 1

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        radius, size = budget / 127.5, step / 127.5
        attack = pgd.LinfPGDAttack(net, module.identity_loss(), radius, steps, size, clip_min=-1.0, targeted=True)
        made = [attack.perturb(photo[None] * 2 - 1, torch.zeros_like(photo[None])) for photo in photos]
        return torch.cat(made) / 2 + 0.5

    return _quiet(cloak)


class _LatentDiffusion(nn.Module):
    """What Mist calls on a CompVis model, on ours."""

    def __init__(self, base: DiffusionModel) -> None:
        super().__init__()
        self._base = [base]  # not a module of this one

    def encode_first_stage(self, photos: Tensor) -> Any:
        return self._base[0].vae.encode(photos).latent_dist

    def get_first_stage_encoding(self, posterior: Any) -> Tensor:
        latents: Tensor = posterior.sample() * self._base[0].vae.config.scaling_factor
        return latents

    def get_learned_conditioning(self, prompts: list[str]) -> Any:
        return self._base[0].condition(prompts)

    def forward(self, latents: Tensor, condition: Any) -> tuple[Tensor]:
        draw = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        return (self._base[0].denoising_errors(latents, condition, draw).mean(),)


def _advertorch() -> dict[str, types.ModuleType]:
    """Stand-ins for the names that Mist imports; those of the L1 and L2 attacks stay empty."""
    utils, base, own = (types.ModuleType(f"advertorch.{name}") for name in ("utils", "attacks.base", "attacks.utils"))

    def clamp(values: Tensor, low: Any = None, high: Any = None, **named: Any) -> Tensor:
        return torch.clamp(values, named.get("min", low), named.get("max", high))

    def start(delta: nn.Parameter, x: Tensor, order: float, eps: float, low: float, high: float) -> None:
        delta.data.uniform_(-eps, eps)

    class Attack:
        def __init__(self, predict: Any, loss_fn: Any, clip_min: float, clip_max: float) -> None:
            self.predict, self.loss_fn, self.clip_min, self.clip_max = predict, loss_fn, clip_min, clip_max

    class LabelMixin:
        def _verify_and_process_inputs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x.detach().clone(), y.detach().clone()

    vars(utils).update(
        clamp=clamp,
        batch_multiply=lambda factor, values: factor * values,
        batch_clamp=lambda limit, values: values.clamp(-limit, limit),
        is_float_or_torch_tensor=lambda value: isinstance(value, float | Tensor),
        **dict.fromkeys(("normalize_by_pnorm", "clamp_by_pnorm", "replicate_input", "batch_l1_proj")),
    )
    vars(base).update(Attack=Attack, LabelMixin=LabelMixin)
    vars(own).update(rand_init_delta=start)
    found = {module.__name__: module for module in (utils, base, own)}
    return {name: types.ModuleType(name) for name in ("advertorch", "advertorch.attacks")} | found


def _quiet(cloak: Cloak) -> Cloak:
    """Without the progress that released code prints."""

    def quiet(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return cloak(photos, reference, seed)

    return quiet
