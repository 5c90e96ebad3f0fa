"""What zero-shot attacks share: nothing is trained, the photos become embeddings that a ready-made adapter understands.

An adapter is loaded with the stock loaders of diffusers, and taken out by `reset`; it stays in the base until that is
wanted for anything else than the next person. One call generates one person: given several, `ip_adapter_image_embeds`
mixes their faces without an error (diffusers issue 9813). Here that cannot happen: an artifact is one person's, and
`guided` makes the batch.
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from attacks import Artifact, Attack
from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError, FitFailed
from bench.core.images import to_pixels
from bench.core.ranges import Count
from bench.models.adapters.locate import Adapter, load_ip_adapter, locate_adapter
from bench.models.faces.insightface import DetectedFace, Pack, analyser, largest, locate_pack
from bench.models.weights.published import together

RECOGNISER = "facelet-id-a"
"""The recogniser that the embedded adapters were trained with, but for InstantID's."""


@dataclass
class ZeroShot(Attack):
    """Base class of the zero-shot attacks.

    Attributes:
        weights: "zoo", the adapter's folder or main file, or the base for which they are published ("sd15", "sdxl",
            "sd35-large", "flux"); null means "zoo" for the embedded models, and the published ones for others.
        references: use at most this many photos, the first usable ones; null uses all.
    """

    weights: str | None = None
    references: Count | None = None
    _pipeline: Any = field(default=None, init=False, repr=False, compare=False)

    stays: ClassVar[bool] = True
    reserved: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def adapter_name(self) -> str:
        """Which adapter's files to look for."""

    @property
    def shipped(self) -> dict[str, Any]:
        """Settings that stand for the embedded family's own files."""
        return {"weights": "zoo"}

    @property
    def subject(self) -> str:
        return "person"

    @property
    def recogniser_pack(self) -> str | None:
        """The pack of insightface that the published weights were trained with; None if they need none."""
        return None

    def resolved(self, family: str) -> Self:
        chosen: dict[str, Any] = self.shipped if family == "facelet" else {"recogniser": self.recogniser_pack}
        return dataclasses.replace(self, **{k: v for k, v in chosen.items() if v and getattr(self, k) is None})

    @property
    def unet_only(self) -> str:
        return "its adapter goes into the cross-attention of a U-Net"

    def files(self, base_name: str) -> dict[str, str]:
        sources = {"weights": lambda: self._locate(base_name).fingerprint}
        source: str | None = getattr(self, "recogniser", None)
        if source or self.recogniser_pack:
            sources["recogniser"] = lambda: recogniser_pack(source).fingerprint
        return dict(zip(sources, together(sources.values()), strict=True))

    @property
    def adapter(self) -> Adapter:
        """The files for the base at hand."""
        return self._locate(self.base.checkpoint.name)

    def _locate(self, base_name: str) -> Adapter:
        tower: str | None = getattr(self, "image_encoder", None)
        return locate_adapter(self.adapter_name, self.weights, base_name, image_encoder=tower)

    # -- the adapter in the base -------------------------------------------------------------------------------

    def load(self, artifact: Artifact) -> None:
        """Put the adapter into the base, unless it is there: it is the same for everybody."""
        if self._pipeline is not None:
            return
        adapter = self.adapter
        self.base.restore()
        try:
            self._pipeline = self.build(adapter)
            self.attach(adapter)
        except (KeyError, OSError, ValueError, RuntimeError) as error:
            self.reset()
            raise BenchError(
                f"{adapter.weights} does not fit {self.base.checkpoint.name}: {error}",
                f"Give {adapter.name} weights that were made for this base.",
            ) from error

    def build(self, adapter: Adapter) -> Any:
        """The pipeline to generate with.

        Raises:
            OSError or RuntimeError: a file does not load.
        """
        return self.base.pipeline()

    @abstractmethod
    def attach(self, adapter: Adapter) -> None:
        """Load the adapter into the pipeline.

        Raises:
            KeyError, ValueError or RuntimeError: it has other tensors than the base needs.
        """

    def attach_ip_adapter(self, adapter: Adapter, scale: float) -> None:
        """Load an IP-Adapter, which reads embeddings and not pictures."""
        load_ip_adapter(self._pipeline, adapter.tensors())
        self._pipeline.set_ip_adapter_scale(scale)

    def reset(self) -> None:
        """Restore the base exactly.

        LoRA layers, which FaceID and PhotoMaker bring along, survive `unload_ip_adapter`; both are taken out.
        """
        if self._pipeline is not None:
            self._pipeline.unload_ip_adapter()
            self._pipeline.unload_lora_weights()
            self._pipeline = None
        super().reset()

    # -- pictures ----------------------------------------------------------------------------------------------

    def generate(
        self, artifact: Artifact, templates: Sequence[str], noise: Tensor, steps: int, guidance: float
    ) -> Tensor:
        self.load(artifact)
        with torch.no_grad():
            condition = self.base.condition([self.text(template) for template in templates])
            extras = self.extras(artifact, templates, steps, guidance)
            return self.base.sample(condition, noise, steps, guidance, self._pipeline, **extras)

    def text(self, template: str) -> str:
        """The prompt as the text encoder reads it."""
        return template.format(subject=self.subject)

    @abstractmethod
    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        """Arguments of the pipeline's call that carry the person."""


def guided(embeddings: Tensor, guidance: float, nothing: Tensor | None = None) -> Tensor:
    """One person's image embeddings (images, ...) as (2, images, ...): the unconditional half first.

    That is zeros, or `nothing` (...) for each image. Without guidance there is no such half, and the result is
    (1, images, ...). The pipeline repeats both for every picture of the call.
    """
    if guidance <= 1:
        return embeddings[None]
    empty = torch.zeros_like(embeddings) if nothing is None else nothing.expand_as(embeddings)
    return torch.stack([empty, embeddings])


def find_faces(recogniser: Pack, photos: Tensor, limit: int | None) -> dict[int, DetectedFace]:
    """Photo -> its largest face, of the first `limit` photos that have one.

    Args:
        recogniser: the pack.
        photos: (n, 3, h, w) in [0, 1]; taken at 8 bits, as an attacker would find them.
        limit: None for no limit.

    Raises:
        FitFailed: no photo has a face.
    """
    faces = (largest(analyser(recogniser).faces(picture)) for picture in to_pixels(photos))
    found = {number: face for number, face in enumerate(faces) if face}
    if not found:
        raise FitFailed(f"the attacker's face detector finds no face in any of the {len(photos)} photos")
    return dict(itertools.islice(found.items(), limit))


def recogniser_pack(source: str | None) -> Pack:
    """The pack that an attack's `recogniser` setting names.

    Raises:
        BenchError: it is not set, or there is no such pack.
    """
    if source is None:
        raise BenchError(
            "This attack needs a face recogniser.", "Pass attack.recogniser=<folder of an insightface pack>."
        )
    return locate_pack(source)
