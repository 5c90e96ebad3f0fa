"""`DiffusionModel`: one diffusion model that defenses attack through and attacks personalise.

Defenses and attacks are written against this class, never against a pipeline, so the embedded family (128 px) and
Stable Diffusion run the same code. Parts are stock diffusers and transformers classes.

`parts` has its weights, `latents` the way from photos to latents and back; what it does with prompts and noise is here.
How it noises and denoises is its type's: `unet` for Stable Diffusion 1 and 2 and `sdxl`, `flow` for the transformers
`sd3` and `flux`.

Shapes: photos are (n, 3, h, w) in [0, 1]; latents are (n, c, h/f, w/f), already multiplied by the VAE's scaling
factor; timesteps are (n,) integers in [0, 1000), the last with the most noise.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.models.diffusion.attention import Maps
from bench.models.diffusion.condition import Condition, places_of
from bench.models.diffusion.devices import randn, to_device
from bench.models.diffusion.latents import LatentModel
from bench.models.diffusion.parts import learns


class DiffusionModel(LatentModel, ABC):
    """A latent diffusion model that reads prompts; `bench.models.diffusion.loading` loads one.

    Attributes:
        attention: how the names of the denoiser's attention projections end.
        beyond_attention: the same of its other layers that a LoRA may adapt.
    """

    attention: ClassVar[tuple[str, ...]]
    beyond_attention: ClassVar[tuple[str, ...]]

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
