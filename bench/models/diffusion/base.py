"""`DiffusionModel`: one diffusion model that defenses attack through and attacks personalise.

Defenses and attacks are written against this class, never against a pipeline, so the embedded family (128 px) and
Stable Diffusion run the same code. Parts are stock diffusers and transformers classes.

What a base does is here; how it noises and denoises is its type's: `unet` for Stable Diffusion 1 and 2 and `sdxl`,
`flow` for the transformers `sd3` and `flux`.

Shapes: photos are (n, 3, h, w) in [0, 1]; latents are (n, c, h/f, w/f), already multiplied by the VAE's scaling
factor; timesteps are (n,) integers in [0, 1000), the last with the most noise.
"""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.config.compute import Computing
from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.core.profiling import countable
from bench.models.diffusion.attention import Maps
from bench.models.diffusion.batching import in_batches
from bench.models.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Condition:
    """What the denoiser is told about the picture.

    Attributes:
        hidden: (n, tokens, dim) hidden states of the text encoders, of SDXL's two side by side.
        pooled: (n, dim) pooled states of the encoders that have some; None for models that are not told.
    """

    hidden: Tensor
    pooled: Tensor | None = None

    def expand(self, count: int) -> Condition:
        """Each condition for `count` pictures, which lie side by side."""

        def each(states: Tensor) -> Tensor:
            return states[:, None].expand(-1, count, *states.shape[1:]).flatten(0, 1)

        return Condition(each(self.hidden), None if self.pooled is None else each(self.pooled))

    def beside(self, other: Condition) -> Condition:
        """The conditions of these pictures, then those of others."""
        pooled = None
        if self.pooled is not None and other.pooled is not None:
            pooled = torch.cat([self.pooled, other.pooled])
        return Condition(torch.cat([self.hidden, other.hidden]), pooled)


@dataclass(frozen=True)
class Posterior:
    """The VAE's distribution over latents of some photos: `mean` and `std`, both (n, c, h/f, w/f), scaled.

    Cached once per photo set, then sampled at every training step, as a trainer that re-encodes would do.
    """

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator, index: Tensor | None = None) -> Tensor:
        mean, std = self.mean, self.std
        if index is not None:
            index = to_device(index, mean.device)
            mean, std = mean[index], std[index]
        return mean + std * randn(mean.shape, generator, mean.device)


ENCODED, DECODED = 2**21, 2**20
"""Pixels that the VAE encodes and decodes at once, without gradients: 8 photos and 4 pictures of 512 px."""

Snapshot = dict[str, dict[str, Tensor]]
"""Weights of the denoiser and of the text encoders, by part and name."""


PINNED = ("cuda",)
"""Kinds of device that go on computing while pinned memory is copied to them; before other copies they finish first."""


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """What was made in the computer's own memory, on the device; a GPU need not wait for it, nor it for the GPU."""
    if device.type in PINNED:
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)


def randn(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal fp32 noise drawn on the CPU, so that the same seed gives the same noise on every device."""
    return to_device(torch.randn(tuple(shape), generator=generator, dtype=torch.float32), device)


def places_of(tokenizer: Any, before: str, word: str, start: int) -> list[int]:
    """Positions of a word's tokens after those of a text, whose first is at `start`."""
    earlier, tokens = (len(tokenizer(text, add_special_tokens=False).input_ids) for text in (before, word))
    return list(range(start + earlier, start + earlier + tokens))


def learns(module: torch.nn.Module) -> bool:
    """Whether any of its weights is being trained."""
    return any(weight.requires_grad for weight in module.parameters())


def _by_name(kind: str, parts: Sequence[Any]) -> dict[str, Any]:
    return {f"{kind}_{number}" if number > 1 else kind: part for number, part in enumerate(parts, start=1)}


class DiffusionModel(ABC):
    """A latent diffusion model that reads prompts; `bench.models.diffusion.loading` loads one.

    Attributes:
        denoiser: the network that predicts: a U-Net or a transformer.
        tokenizers: of the CLIP text encoders, in their order.
        text_encoders: those that an attacker may train: CLIP's.
        part: what the official files call the denoiser.
        half_vae: whether the VAE computes in half precision where the rest does.
        attention: how the names of the denoiser's attention projections end.
        beyond_attention: the same of its other layers that a LoRA may adapt.
    """

    part: ClassVar[str]
    half_vae: ClassVar[bool] = True
    attention: ClassVar[tuple[str, ...]]
    beyond_attention: ClassVar[tuple[str, ...]]

    def __init__(
        self, checkpoint: Checkpoint, parts: dict[str, Any], device: torch.device, computing: Computing
    ) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.computing = computing
        self.scheduler = parts["scheduler"]
        self.vae = parts["vae"]
        self.denoiser = parts[self.part]
        self.tokenizers = [part for name, part in parts.items() if name.startswith("tokenizer")]
        self.text_encoders = [part for name, part in parts.items() if name.startswith("text_encoder")]
        for module in self._modules.values():
            module.requires_grad_(False).eval()
        if computing.channels_last:
            for module in (self.vae, self.denoiser):
                module.to(memory_format=torch.channels_last)
        countable()
        if computing.memory == "low":
            for module in (self.vae, self.denoiser):
                module.enable_gradient_checkpointing()
        if computing.compile:
            self.denoiser.compile(dynamic=False)
        self._loaded: dict[str, dict[str, Tensor]] = {}

    @property
    def unet(self) -> Any:
        """The U-Net, for those that look inside it.

        Raises:
            BenchError: the model has none.
        """
        raise BenchError(
            f"{self.checkpoint.name} has no U-Net, but a transformer.", "Use a base such as sd15 or sdxl for this."
        )

    @property
    def tokenizer(self) -> Any:
        """The first tokenizer."""
        return self.tokenizers[0]

    @property
    def text_encoder(self) -> Any:
        """The first text encoder."""
        return self.text_encoders[0]

    @property
    def tunable(self) -> dict[str, Any]:
        """Part name -> module, of all that an attacker may train: the denoiser and the text encoders."""
        return {self.part: self.denoiser} | _by_name("text_encoder", self.text_encoders)

    @property
    def _text_parts(self) -> dict[str, Any]:
        """What reads prompts and what cuts them into tokens, as official files and pipelines call them."""
        return _by_name("text_encoder", self.text_encoders) | _by_name("tokenizer", self.tokenizers)

    # -- images and latents ------------------------------------------------------------------------------------

    def posterior(self, photos: Tensor) -> Posterior:
        """The VAE's distribution for photos (n, 3, h, w) in [0, 1]; differentiable.

        Without gradients, many photos are encoded some at a time: 200 class pictures of 1,024 px would fill any GPU.
        """
        if torch.is_grad_enabled():
            return self._posterior(photos)
        most = self._at_once(ENCODED, photos.shape[-2] * photos.shape[-1])

        def some(part: slice) -> list[tuple[Tensor, Tensor]]:
            found = self._posterior(photos[part])
            return list(zip(found.mean, found.std, strict=True))

        means, stds = zip(*in_batches(len(photos), most, some), strict=True)
        return Posterior(torch.stack(means), torch.stack(stds))

    def _posterior(self, photos: Tensor) -> Posterior:
        with self._autocast(self.half_vae):
            distribution = self.vae.encode(photos * 2 - 1).latent_dist
        shift, scale = self._scaling
        return Posterior((distribution.mean.float() - shift) * scale, distribution.std.float() * scale)

    @property
    def _scaling(self) -> tuple[float, float]:
        """What is taken off the VAE's latents, and what they are then multiplied by."""
        return self.vae.config.shift_factor or 0.0, self.vae.config.scaling_factor

    def encode(self, photos: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of photos (n, 3, h, w) in [0, 1]: a sample if a generator is given, else the mean; differentiable."""
        posterior = self.posterior(photos)
        return posterior.mean if generator is None else posterior.sample(generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Photos (n, 3, h, w) in [0, 1] of latents; differentiable. Without gradients, some at a time."""
        if torch.is_grad_enabled():
            return self._decode(latents)
        most = self._at_once(DECODED, latents.shape[-2] * latents.shape[-1] * self.factor**2)
        return torch.stack(in_batches(len(latents), most, lambda part: [*self._decode(latents[part])]))

    def _at_once(self, pixels: int, of_one: int) -> int:
        """How many pictures of so many pixels the VAE sees at once, if these are all it may see."""
        return 1 if self.computing.memory == "low" else max(1, pixels // of_one)

    def _decode(self, latents: Tensor) -> Tensor:
        shift, scale = self._scaling
        with self._autocast(self.half_vae):
            photos: Tensor = self.vae.decode(latents / scale + shift).sample
        return (photos.float() / 2 + 0.5).clamp(0, 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent at the model's own resolution."""
        side = int(self.denoiser.config.sample_size)
        return int(self.denoiser.config.in_channels), side, side

    @property
    def side(self) -> int:
        """Side of the pictures that `sample` makes, pixels."""
        return self.latent_shape[-1] * self.factor

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    # -- denoising ---------------------------------------------------------------------------------------------

    @abstractmethod
    def condition(self, prompts: Sequence[str]) -> Condition:
        """Text conditions of n prompts; differentiable with respect to the text encoders' weights."""

    def unconditional(self) -> Condition:
        """What guidance steers away from: the condition (1) without a prompt."""
        return self.condition([""])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """The text encoders are on the device; afterwards, unless they learn, they wait where memory is cheap."""
        movable = self._readers if self.computing.offload else []
        for encoder in movable:
            encoder.to(self.device)
        yield
        for encoder in movable:
            if not learns(encoder):
                encoder.to("cpu")

    @property
    def _readers(self) -> Sequence[torch.nn.Module]:
        """All that reads prompts."""
        return self.text_encoders

    def ids(self, prompts: Sequence[str], which: int = 0) -> Tensor:
        """(n, tokens) padded ids of n prompts by one of the tokenizers."""
        ids: Tensor = self.tokenizers[which](
            list(prompts), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return to_device(ids, self.device)

    @abstractmethod
    def predict(self, latents: Tensor, timesteps: Tensor, condition: Condition, **more: Any) -> Tensor:
        """The prediction for noised latents, in fp32; `more` goes to the denoiser (what an adapter wants)."""

    @abstractmethod
    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """q(z_t | z_0): the latents noised to `timesteps`."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What `predict` should return."""

    @abstractmethod
    def predict_x0(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """The latents that a prediction for noised latents amounts to: the inverse of `add_noise` and `target`."""

    @abstractmethod
    def predict_noise(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """The noise that a prediction for noised latents amounts to."""

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        """(n, 1, 1, 1) share of the signal's variance that is left at each timestep (alpha-bar of DDPM).

        Raises:
            BenchError: the model is not noised as DDPM does it.
        """
        raise BenchError(
            f"{self.checkpoint.name} has no noise schedule of DDPM: it mixes photo and noise in a straight line.",
            "Use a base such as sd15 or sdxl for this.",
        )

    @property
    def length(self) -> int:
        """Length of the noise schedule."""
        return int(self.scheduler.config.num_train_timesteps)

    def random_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) timesteps as a training draws them: uniform over the schedule."""
        return to_device(torch.randint(0, self.length, (count,), generator=generator), self.device)

    def denoising_errors(self, latents: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        """Squared error (n,) of one random denoising step per latent: the loss of DDPM (Ho et al. 2020, eq. 14).

        Timesteps are uniform over the schedule; noise and timesteps come from `generator` alone.
        """
        timesteps = self.random_timesteps(len(latents), generator)
        noise = randn(latents.shape, generator, self.device)
        return self.errors_at(latents, condition, timesteps, noise)

    def errors_at(self, latents: Tensor, condition: Condition, timesteps: Tensor, noise: Tensor) -> Tensor:
        """Squared error (n,) of one denoising step per latent, with timesteps (n,) and noise that were drawn."""
        predicted = self.predict(self.add_noise(latents, noise, timesteps), timesteps, condition)
        errors: Tensor = (predicted - self.target(latents, noise, timesteps)).square().mean(dim=(1, 2, 3))
        return errors

    @abstractmethod
    def pipeline(self, controlnet: Any = None) -> Any:
        """A stock diffusers pipeline around this model's own parts.

        Adapters are loaded through it, into the parts themselves: whoever does so takes them out again.

        Args:
            controlnet: what the pictures shall follow besides; None for nothing.
        """

    @torch.no_grad()
    def sample(
        self,
        condition: Condition,
        noise: Tensor,
        steps: int,
        guidance: float,
        pipeline: Any = None,
        away_from: Condition | None = None,
        **extra: Any,
    ) -> Tensor:
        """Generate pictures (n, 3, h, w) in [0, 1] with the sampler of `pipeline` and classifier-free guidance.

        Args:
            condition: n conditions.
            noise: (n, c, h, w) standard normal initial latents; the only randomness.
            steps: solver steps.
            guidance: guidance scale; 1 switches it off.
            pipeline: one made by `pipeline`, with whatever was loaded into it; a plain one by default.
            away_from: what guidance leads away from (1 condition); by default the empty prompt.
            extra: further arguments of the pipeline's call, such as `ip_adapter_image_embeds`.
        """
        told = {"num_inference_steps": steps, "guidance_scale": guidance, "output_type": "latent", **extra}
        with self._autocast():
            latents = self._drawn(pipeline or self.pipeline(), condition, noise.to(self.device), away_from, told)
        return self.decode(latents.float())

    def _drawn(
        self, pipeline: Any, condition: Condition, noise: Tensor, away_from: Condition | None, told: dict[str, Any]
    ) -> Tensor:
        """Latents (n, c, h, w) by a pipeline, which is told the rest."""
        empty = (away_from or self.unconditional()).expand(len(noise))
        if condition.pooled is not None:
            told = told | {"pooled_prompt_embeds": condition.pooled, "negative_pooled_prompt_embeds": empty.pooled}
        latents: Tensor = pipeline(
            prompt_embeds=condition.hidden, negative_prompt_embeds=empty.hidden, latents=noise, **told
        ).images
        return latents

    @abstractmethod
    def previous(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """The latents one timestep earlier, by a prediction for noised latents; timesteps are at least 1."""

    # -- a look inside -----------------------------------------------------------------------------------------

    @abstractmethod
    def watched(self, sides: Collection[int] | None = None, by_head: bool = False) -> AbstractContextManager[Maps]:
        """Record who attends to whom in the one pass that is made in the context, differentiably.

        Args:
            sides: of the pictures of the layers that are looked at (in latent pixels; of a transformer in tokens, the
                same in all layers); None for all.
            by_head: keep each head's map, instead of their mean.

        Raises:
            BenchError: no layer has these sides.
        """

    @abstractmethod
    def attention_to_prompt(self, sides: Collection[int] | None = None) -> AbstractContextManager[list[Tensor]]:
        """Record the maps (n, heads, positions, tokens) of attention to the prompt; complete when the context ends.

        The pass itself is as without. Arguments and errors as `watched`.
        """

    @abstractmethod
    def last_features(self) -> AbstractContextManager[list[Tensor]]:
        """Record what the last layers before the prediction make of the picture, as it is computed."""

    @property
    @abstractmethod
    def prompt_weights(self) -> list[torch.nn.Parameter]:
        """The denoiser's weights that make keys and values of the prompt's tokens."""

    def token_places(self, prompt: str, word: str) -> list[int]:
        """Where a word's tokens are in the condition of a prompt, wherever one of its readers puts them.

        Raises:
            BenchError: the prompt does not contain the word.
        """
        before, found, _ = prompt.partition(word)
        if not found:
            raise BenchError(f"The prompt {prompt!r} does not contain {word!r}.", "Choose a word of the prompt.")
        return self._token_places(before.rstrip(), word)

    def _token_places(self, before: str, word: str) -> list[int]:
        """By CLIP, which puts a token before the first."""
        return places_of(self.tokenizer, before, word, 1)

    # -- weights -----------------------------------------------------------------------------------------------

    def clone(self) -> DiffusionModel:
        """A second model to train on the side: own denoiser and text encoders, all that stays frozen is shared.

        It starts from the present weights and remembers no others, so it cannot be restored.
        """
        parts = self._shared | {name: copy.deepcopy(module) for name, module in self.tunable.items()}
        return type(self)(self.checkpoint, parts, self.device, self.computing)

    @property
    def _shared(self) -> dict[str, Any]:
        """The parts that no training changes."""
        return {"vae": self.vae, "scheduler": self.scheduler} | _by_name("tokenizer", self.tokenizers)

    def copy_weights_from(self, other: DiffusionModel) -> None:
        """Overwrite denoiser and text encoders in place with another model's."""
        self.load_snapshot({name: module.state_dict() for name, module in other.tunable.items()})

    def snapshot(self) -> Snapshot:
        """A copy of the present weights of denoiser and text encoders, on the CPU."""
        return {
            name: {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}
            for name, module in self.tunable.items()
        }

    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Overwrite denoiser and text encoders in place with the weights of a snapshot."""
        for name, module in self.tunable.items():
            module.load_state_dict(snapshot[name])

    def parameters(self, text_encoder: bool = True) -> list[torch.nn.Parameter]:
        """The weights of the denoiser, and of the text encoders if asked for, made trainable."""
        modules = [self.denoiser, *self.text_encoders] if text_encoder else [self.denoiser]
        return [p.requires_grad_(True) for module in modules for p in module.parameters()]

    def remember(self) -> None:
        """Make the present weights those that `restore` goes back to; they are kept in the computer's own memory."""
        self._loaded = {
            name: {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}
            for name, module in self._modules.items()
        }

    def restore(self) -> None:
        """Back to the remembered weights, bit for bit; gradients are dropped and everything is frozen again.

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
        return {"vae": self.vae} | self.tunable

    def _autocast(self, wanted: bool = True) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted and self.computing.precision == "bf16")
