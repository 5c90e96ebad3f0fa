"""`Base`: one diffusion model that defenses attack through and attacks personalise.

Defenses and attacks are written against this class, never against a pipeline, so the embedded 64 px family and
Stable Diffusion run the same code. Parts are stock diffusers and transformers classes.

Shapes: photos are (n, 3, h, w) in [0, 1]; latents are (n, c, h/f, w/f), already multiplied by the VAE's scaling
factor; timesteps are (n,) integers in [0, 1000).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Condition:
    """What the UNet is told about the picture.

    Attributes:
        hidden: (n, tokens, dim) hidden states of the text encoder.
    """

    hidden: Tensor

    def expand(self, count: int) -> Condition:
        """One condition for `count` pictures."""
        return Condition(self.hidden.expand(count, -1, -1))


@dataclass(frozen=True)
class Posterior:
    """The VAE's distribution over latents of some photos: `mean` and `std`, both (n, c, h/f, w/f), scaled.

    Cached once per photo set, then sampled at every training step, as a trainer that re-encodes would do.
    """

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator, index: Tensor | None = None) -> Tensor:
        mean, std = (self.mean, self.std) if index is None else (self.mean[index], self.std[index])
        return mean + std * randn(mean.shape, generator, mean.device)


Snapshot = dict[str, dict[str, Tensor]]
"""Weights of the UNet and of the text encoder, by part and name."""


def randn(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal fp32 noise drawn on the CPU, so that the same seed gives the same noise on every device."""
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32).to(device)


class Base:
    """A Stable-Diffusion-type model (epsilon or v prediction)."""

    def __init__(self, checkpoint: Checkpoint, parts: dict[str, Any], device: torch.device, precision: str) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        self.tokenizer = parts["tokenizer"]
        self.scheduler = parts["scheduler"]
        self.vae = parts["vae"].requires_grad_(False)
        self.text_encoder = parts["text_encoder"].requires_grad_(False)
        self.unet = parts["unet"].requires_grad_(False)
        for module in self._modules.values():
            module.eval()
        self._loaded: dict[str, dict[str, Tensor]] = {}

    @classmethod
    def load(cls, checkpoint: Checkpoint, device: str | torch.device = "cpu", precision: str = "bf16") -> Base:
        """Load a diffusers folder in fp32 master weights.

        Args:
            checkpoint: the verified files, from `bench.models.checkpoint.locate`.
            device: where to run.
            precision: "bf16" runs forward and backward passes under autocast, "fp32" does not. Weights stay fp32.

        Raises:
            BenchError: a weight file cannot be read.
        """
        import transformers.utils.logging

        # Before diffusers is imported: it pulls in image processors, which warn that torchvision is not there.
        transformers.utils.logging.set_verbosity_error()
        import diffusers.utils.logging
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        diffusers.utils.logging.disable_progress_bar()  # the run has a progress display of its own
        transformers.utils.logging.disable_progress_bar()
        device = torch.device(device)
        kinds = {"vae": AutoencoderKL, "text_encoder": CLIPTextModel, "unet": UNet2DConditionModel}
        parts: dict[str, Any] = {}
        try:
            for name, kind in kinds.items():
                loaded = kind.from_pretrained(checkpoint.path, subfolder=name, dtype=torch.float32)
                parts[name] = loaded.to(device)
            parts["tokenizer"] = CLIPTokenizer.from_pretrained(checkpoint.path, subfolder="tokenizer")
            parts["scheduler"] = DDPMScheduler.from_pretrained(checkpoint.path, subfolder="scheduler")
        except (OSError, ValueError, RuntimeError) as error:
            raise BenchError(f"The model in {checkpoint.path} does not load: {error}", checkpoint.fix) from error
        base = cls(checkpoint, parts, device, precision)
        base._loaded = {
            name: {key: value.detach().clone() for key, value in module.state_dict().items()}
            for name, module in base._modules.items()
        }
        return base

    # -- images and latents ------------------------------------------------------------------------------------

    def posterior(self, photos: Tensor) -> Posterior:
        """The VAE's distribution for photos (n, 3, h, w) in [0, 1]; differentiable."""
        with self._autocast():
            distribution = self.vae.encode(photos * 2 - 1).latent_dist
        scale = self.vae.config.scaling_factor
        return Posterior(distribution.mean.float() * scale, distribution.std.float() * scale)

    def encode(self, photos: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of photos (n, 3, h, w) in [0, 1]: a sample if a generator is given, else the mean; differentiable."""
        posterior = self.posterior(photos)
        return posterior.mean if generator is None else posterior.sample(generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Photos (n, 3, h, w) in [0, 1] of latents."""
        with self._autocast():
            photos: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return (photos.float() / 2 + 0.5).clamp(0, 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent at the model's own resolution."""
        side = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), side, side

    @property
    def side(self) -> int:
        """Side of the pictures that `sample` makes, pixels."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return self.latent_shape[-1] * int(factor)

    # -- denoising ---------------------------------------------------------------------------------------------

    def condition(self, prompts: Sequence[str]) -> Condition:
        """Text conditions of n prompts; differentiable with respect to the text encoder's weights."""
        tokens = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids.to(
            self.device
        )
        with self._autocast():
            hidden = self.text_encoder(tokens)[0]
        return Condition(hidden.float())

    def predict(self, latents: Tensor, timesteps: Tensor, condition: Condition, **more: Any) -> Tensor:
        """The UNet's prediction for noised latents, in fp32; `more` goes to the UNet (what an adapter wants)."""
        with self._autocast():
            predicted: Tensor = self.unet(latents, timesteps, condition.hidden, return_dict=False, **more)[0]
        return predicted.float()

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """q(z_t | z_0): the latents noised to `timesteps`."""
        noised: Tensor = self.scheduler.add_noise(latents, noise, timesteps)
        return noised

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What `predict` should return: the noise, or the velocity for a v-prediction model."""
        kind = self.scheduler.config.prediction_type
        if kind == "epsilon":
            return noise
        if kind == "v_prediction":
            velocity: Tensor = self.scheduler.get_velocity(latents, noise, timesteps)
            return velocity
        raise BenchError(f"Prediction type {kind!r} is not supported.", "Use an epsilon or v_prediction checkpoint.")

    def clean(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """The latents that a prediction for noised latents amounts to: the inverse of `add_noise` and `target`."""
        kept = self.kept(timesteps)
        signal, spread = kept.sqrt(), (1 - kept).sqrt()
        if self.scheduler.config.prediction_type == "v_prediction":
            return signal * noised - spread * predicted
        return (noised - spread * predicted) / signal

    def kept(self, timesteps: Tensor) -> Tensor:
        """(n, 1, 1, 1) share of the signal's variance that is left at each timestep (alpha-bar of DDPM)."""
        alphas: Tensor = self.scheduler.alphas_cumprod
        return alphas.to(self.device)[timesteps][:, None, None, None]

    @property
    def length(self) -> int:
        """Length of the noise schedule."""
        return int(self.scheduler.config.num_train_timesteps)

    def random_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) timesteps, uniform over the schedule."""
        return torch.randint(0, self.length, (count,), generator=generator).to(self.device)

    def denoising_errors(self, latents: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        """Squared error (n,) of one random denoising step per latent: the loss of DDPM (Ho et al. 2020, eq. 14).

        Timesteps are uniform over the schedule; noise and timesteps come from `generator` alone.
        """
        timesteps = self.random_timesteps(len(latents), generator)
        noise = randn(latents.shape, generator, self.device)
        predicted = self.predict(self.add_noise(latents, noise, timesteps), timesteps, condition)
        errors: Tensor = (predicted - self.target(latents, noise, timesteps)).square().mean(dim=(1, 2, 3))
        return errors

    def pipeline(self, kind: type[Any] | None = None, **modules: Any) -> Any:
        """A stock diffusers pipeline around this model's own parts, with the DPM-Solver++ scheduler.

        Adapters are loaded through it, into the parts themselves: whoever does so takes them out again.

        Args:
            kind: pipeline class; `StableDiffusionPipeline` by default.
            modules: parts that this class wants besides, such as `controlnet`.
        """
        from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

        made = (kind or StableDiffusionPipeline)(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=DPMSolverMultistepScheduler.from_config(self.scheduler.config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            **modules,
        )
        made.set_progress_bar_config(disable=True)
        return made

    @torch.no_grad()
    def sample(
        self,
        condition: Condition,
        noise: Tensor,
        steps: int,
        guidance: float,
        pipeline: Any = None,
        **extra: Any,
    ) -> Tensor:
        """Generate pictures (n, 3, h, w) in [0, 1] with DPM-Solver++ and classifier-free guidance.

        Args:
            condition: n conditions.
            noise: (n, c, h, w) standard normal initial latents; the only randomness.
            steps: solver steps.
            guidance: guidance scale; 1 switches it off.
            pipeline: one made by `pipeline`, with whatever was loaded into it; a plain one by default.
            extra: further arguments of the pipeline's call, such as `ip_adapter_image_embeds`.
        """
        negative = self.condition([""]).expand(len(noise))
        with self._autocast():
            latents = (pipeline or self.pipeline())(
                prompt_embeds=condition.hidden,
                negative_prompt_embeds=negative.hidden,
                latents=noise.to(self.device),
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type="latent",
                **extra,
            ).images
        return self.decode(latents.float())

    # -- weights -----------------------------------------------------------------------------------------------

    def clone(self) -> Base:
        """A second model to train on the side: own UNet and text encoder, shared (frozen) VAE and tokenizer.

        It starts from the present weights and remembers no others, so it cannot be restored.
        """
        parts = {
            "vae": self.vae,
            "tokenizer": self.tokenizer,
            "scheduler": self.scheduler,
            "unet": copy.deepcopy(self.unet),
            "text_encoder": copy.deepcopy(self.text_encoder),
        }
        return Base(self.checkpoint, parts, self.device, self.precision)

    def copy_weights_from(self, other: Base) -> None:
        """Overwrite UNet and text encoder in place with another model's."""
        self.load_snapshot({"unet": other.unet.state_dict(), "text_encoder": other.text_encoder.state_dict()})

    def snapshot(self) -> Snapshot:
        """A copy of the present weights of UNet and text encoder, on the CPU."""
        return {
            name: {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}
            for name, module in (("unet", self.unet), ("text_encoder", self.text_encoder))
        }

    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Overwrite UNet and text encoder in place with the weights of a snapshot."""
        self.unet.load_state_dict(snapshot["unet"])
        self.text_encoder.load_state_dict(snapshot["text_encoder"])

    def parameters(self, text_encoder: bool = True) -> list[torch.nn.Parameter]:
        """The weights of the UNet, and of the text encoder if asked for, made trainable."""
        modules = [self.unet, self.text_encoder] if text_encoder else [self.unet]
        return [p.requires_grad_(True) for module in modules for p in module.parameters()]

    def restore(self) -> None:
        """Back to the loaded weights, bit for bit; gradients are dropped and everything is frozen again.

        Raises:
            RuntimeError: a module gained or lost weights (an adapter was left in it).
        """
        for name, module in self._modules.items():
            module.load_state_dict(self._loaded[name], strict=True)
            module.eval()
        self.freeze()

    def freeze(self) -> None:
        """Make no weight trainable and drop all gradients."""
        for module in self._modules.values():
            module.requires_grad_(False)
            for parameter in module.parameters():
                parameter.grad = None

    @property
    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"vae": self.vae, "text_encoder": self.text_encoder, "unet": self.unet}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
