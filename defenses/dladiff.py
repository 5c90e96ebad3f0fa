"""DLADiff (Jia et al., "DLADiff: a dual-layer defense framework against fine-tuning and zero-shot customization of
diffusion models", arXiv 2511.19910, 2025).

Idea: fine-tuning changes a model's weights and zero-shot adapters do not, so each gets a layer of its own. Layer 1
(Sec. 4.1, Alg. 1) makes the person unlearnable: a static surrogate that has learned the person from clean photos
shows where attention should go (DSUR), and the cloak takes the attention of a dynamic surrogate away from there,
raises its denoising loss, and lets it learn the cloaked photos, in turns (ADFT). Layer 2 (Sec. 4.2, Alg. 2) then
turns face recognisers away, through an alignment that is slightly wrong each time.
Attacks: fine-tuning (layer 1), zero-shot adapters that read faces (layer 2). Published budget: 7 for layer 1 and 11
for layer 2, which add up to 18 on the face: `budget=18 defense.equal_budget=false`. Cost per photo: static_steps x
batch / n + epochs x (2 attention_steps + loss_steps + dynamic_steps) UNet passes (one of the two is forward only).
1000 with the published settings and our choices.

The paper leaves open, and this chooses: all loop counts, both learning rates, the resolution of the attention maps,
whether heads are averaged (`heads`), the threshold, the noise of the alignment, and which photos are X_clean (`clean`;
by default the reference photos, set A). `bench.tune` searches all of that. The embedded preset takes one attention
step per epoch: of two invented people, DreamBooth then leaves ISM0 0.68 and 0.42 at 16, after three 0.72 and 0.60,
without DSUR 0.60 and 0.52.
Different from the paper: steps go by the gradient's sign (the printed raw gradient would not move a pixel; with
`direction=gradient` it is scaled, each photo's to the root mean square that a step says),
fine-tuning with fp32 master weights; a photo's layer 2 ends when *all* recognisers are at the threshold, as in Alg.
2, but each photo by itself; and with `equal_budget` both layers share one ball, so that the whole cloak is as large
as every other defense's.
On Stable Diffusion 3.5 and FLUX, which the paper does not have: the maps are the image-to-text and image-to-image
blocks of joint attention, as the joint softmax has them, of 8 blocks spread evenly over the network; together their
distances are those of whole rows. The image alone is what Stable Diffusion 3.5 medium's second attentions see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from bench.config.prompts import Caption
from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.core.ranges import Count, Range, Rate, Several, Sigma, StepLevels
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.recipe import Recipe
from defenses import PHOTOS, Context, P
from defenses.adaptive import Adaptive
from defenses.encoders import FACELET, OFFICIAL, Faces, face_similarity, fingerprints, packs
from defenses.objectives import caption, denoise, denoising_loss, twin
from defenses.pgd import Objective, pgd, project
from defenses.surrogates import learn

PUBLISHED = (7, 11)
"""Grey levels of the two layers in the paper."""
NORMS: Mapping[str, Literal["linf", "l2"]] = {"sign": "linf", "gradient": "l2"}
"""How a step goes -> the norm of `pgd`."""


@dataclass(frozen=True)
class DLADiff(Adaptive):
    """DLADiff: attention and loss of two surrogates against fine-tuning, then recognisers against zero-shot attacks.

    Attributes:
        layers: which layers, in this order: [1, 2], [1] or [2].
        dsur: use the static surrogate and the attention distance (stage 1).
        adft: raise the dynamic surrogate's loss and fine-tune it in turns (stages 2 and 3).
        equal_budget: both layers within one ball of the whole budget; false splits it 7 : 11, and they add up.
        preset: "auto" picks "facelet" for the embedded models and "sd" for others. All of it is ours.
        static_steps: fine-tuning steps of the static surrogate on the reference photos.
        static_rate: its Adam learning rate.
        batch: photos per fine-tuning step of the static surrogate, if there are so many.
        epochs: rounds of the three stages (iter_opt).
        attention_steps: cloak steps on the attention distance per epoch (iter1).
        loss_steps: cloak steps on the denoising loss per epoch (iter2).
        dynamic_steps: fine-tuning steps of the dynamic surrogate per epoch (iter3).
        dynamic_rate: its Adam learning rate.
        step: size of a step of layer 1 in grey levels (published: 5e-3 of [0, 1]).
        sides: sides of the attention maps, latent pixels; of a transformer, tokens, and whatever it has by default.
        heads: compare the "mean" of an attention layer's heads, or "each".
        clean: X_clean, which the static surrogate learns: the "reference" photos, the "photos" to cloak, or "both".
        direction: steps go by the gradient's "sign", or along the "gradient", a step then being the root mean square.
        recognisers: packs that layer 2 turns away, the first also finds the faces; published: not named, probably
            those of FaceID and InstantID (buffalo_l, antelopev2).
        face_steps: most steps of layer 2.
        face_step: size of its steps in grey levels (published: 8e-4 of [0, 1]).
        threshold: similarity at which a photo is done.
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
        prompt: what the person is called.
    """

    paper: ClassVar[str] = "2025, arXiv 2511.19910"
    loop: ClassVar[str] = "epochs"

    layers: tuple[Annotated[int, Range(ge=1, le=2, unit="a layer")], ...] = (1, 2)
    dsur: bool = True
    adft: bool = True
    equal_budget: bool = True
    preset: str = "auto"
    static_steps: Several | None = None
    static_rate: Rate | None = None
    batch: Count = 4
    epochs: Count | None = None
    attention_steps: Several | None = None
    loss_steps: Several | None = None
    dynamic_steps: Several = 3
    dynamic_rate: Rate | None = None
    step: StepLevels | None = None
    sides: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    heads: Literal["mean", "each"] = "mean"
    clean: Literal["reference", "photos", "both"] = "reference"
    direction: Literal["sign", "gradient"] = "sign"
    recognisers: tuple[str, ...] | None = None
    face_steps: Count | None = None
    face_step: StepLevels | None = None
    threshold: Annotated[float, Range(ge=-1, le=1, unit="a cosine similarity")] = 0.0
    sigma: Sigma = 0.003
    prompt: Caption = "a photo of sks person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "sd": {
            "static_steps": 400,
            "static_rate": 5e-6,
            "epochs": 50,
            "attention_steps": 3,
            "loss_steps": 3,
            "dynamic_rate": 5e-7,
            "step": 1.275,
            "sides": (16, 32),
            "recognisers": OFFICIAL,
            "face_steps": 200,
            "face_step": 0.204,
        },
        "facelet": {
            "static_steps": 100,
            "static_rate": 1e-4,
            "epochs": 20,
            "attention_steps": 1,
            "loss_steps": 3,
            "dynamic_rate": 1e-4,
            "step": 1.275,
            "sides": (8, 16),
            "recognisers": FACELET["recognisers"],
            "face_steps": 100,
            "face_step": 0.5,
        },
    }

    on_transformers: ClassVar[Mapping[str, Any]] = {"sides": None}

    def resolved(self, family: str) -> Self:
        if sorted(self.layers) not in ([1], [2], [1, 2]):
            raise BenchError(f"Bad setting defense.layers={list(self.layers)}.", "Choose [1, 2], [1] or [2].")
        made = super().resolved(family)
        return made if 2 in self.layers else replace(made, recognisers=())  # it attacks none, and so needs none

    def files(self) -> dict[str, str]:
        return super().files() | (fingerprints(self.recognisers or ()) if 2 in self.layers else {})

    def evaluations(self, turns: int) -> float:
        if 1 not in self.layers:
            return 0
        learned = self.pretuning(PHOTOS * (2 if self.clean == "both" else 1))
        static = learned.steps * learned.batch / PHOTOS if learned else 0
        first = 2 * int(self.attention_steps or 0) if self.dsur else 0
        others = int(self.loss_steps or 0) + self.dynamic_steps if self.adft else 0
        return static + turns * (first + others)

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        cloaked = photos
        if 1 in self.layers:
            cloaked = self._against_fine_tuning(photos, context, self._share(context.budget, 0))
        if 2 in self.layers:
            cloaked = self._against_encoders(cloaked, photos, context, self._share(context.budget, 1))
        return cloaked

    def _share(self, budget: Budget, layer: int) -> Budget:
        """The budget of a layer."""
        if self.equal_budget:
            return budget
        first = round(budget.whole_levels * PUBLISHED[0] / sum(PUBLISHED))
        return Budget((first, budget.whole_levels - first)[layer])

    # -- layer 1 ---------------------------------------------------------------------------------------------------

    def _against_fine_tuning(self, photos: Tensor, context: Context, budget: Budget) -> Tensor:
        """Alg. 1."""
        dynamic, count = context.surrogates[0], len(photos)
        recipe = Recipe.of(self, steps=self.dynamic_steps, learning_rate=float(self.dynamic_rate or 0), batch=count)
        loss = self.treated(denoising_loss(dynamic, self.prompt, count, context.generator), context.generator)
        distance = None
        clean = torch.stack(self.taught(context.reference.unbind(), photos.unbind()))
        if (learned := self.pretuning(len(clean))) is not None:
            distance = attention_distance(
                context.pretuned(dynamic, clean, learned),
                dynamic,
                photos,
                self.prompt,
                self.sides,
                context.generator,
                by_head=self.heads == "each",
            )
            distance = self.treated(distance, context.generator)
        cloaked, step, epochs, norm = photos, float(self.step or 0), int(self.epochs or 0), NORMS[self.direction]
        for done in range(epochs):
            if distance is not None:
                cloaked = pgd(cloaked, photos, distance, budget, step, int(self.attention_steps or 0), norm=norm)
            if self.adft:
                cloaked = pgd(cloaked, photos, loss, budget, step, int(self.loss_steps or 0), norm=norm)
                learn(dynamic, cloaked, recipe, context, text_encoder=False)
            context.progress((done + 1) / epochs * (0.8 if 2 in self.layers else 1))
        return cloaked

    def taught(self, reference: Sequence[P], photos: Sequence[P]) -> list[P]:
        """X_clean."""
        return [*(reference if self.clean != "photos" else ()), *(photos if self.clean != "reference" else ())]

    def pretuning(self, references: int) -> Recipe | None:
        """Step 0: the static surrogate learns the person from clean photos; the UNet only, and no prior term."""
        if not (1 in self.layers and self.dsur):
            return None
        rate, batch = float(self.static_rate or 0), min(self.batch, references)  # no photo twice in a step
        return Recipe.of(self, steps=int(self.static_steps or 0), learning_rate=rate, batch=batch)

    # -- layer 2 ---------------------------------------------------------------------------------------------------

    def _against_encoders(self, start: Tensor, photos: Tensor, context: Context, own: Budget) -> Tensor:
        """Alg. 2: a perturbation of the aligned face, carried back to the photo.

        The recognisers see the photo that results, cut off at the budget and aligned anew as an attacker will do it,
        and not the aligned face with the perturbation on top: what is measured is what is saved.
        """
        from bench.models.faces.alignment import ALIGNED, inverse, warp
        from bench.models.faces.embedder import alignment

        sources = packs(self.recognisers)
        faces = Faces.found(photos, sources[0])
        if not faces.rows:
            return start
        to_photo = inverse(alignment(faces.points))
        rows = torch.tensor(faces.rows, device=photos.device)
        # Sharing a ball, layer 2 may have to undo layer 1 before it can go the other way.
        reach = Budget(min(127, 2 * own.whole_levels)) if self.equal_budget else own

        def applied(perturbation: Tensor) -> Tensor:
            carried = warp(perturbation - 0.5, to_photo, photos.shape[-1])
            moved = start + torch.zeros_like(start).index_copy(0, rows, carried)
            # Cut off for the recognisers, but not for the gradient, so that what is cut off can come back.
            return moved + (project(moved, photos, context.budget) - moved).detach()

        similarity = face_similarity(photos, faces, sources, self.sigma, context.generator)
        similarity = self.treated(similarity, context.generator)

        def distance(perturbation: Tensor) -> Tensor:
            cosines = similarity(applied(perturbation))[:, rows]
            unfinished = (cosines.max(dim=0).values > self.threshold).detach()
            return -(cosines.sum(dim=0) * unfinished).sum()

        # Perturbations are kept around one half: `pgd` holds photos within [0, 1], and the ball is the same.
        middle = torch.full((len(faces.rows), 3, ALIGNED, ALIGNED), 0.5, device=photos.device)
        step, steps = float(self.face_step or 0), int(self.face_steps or 0)
        perturbation = pgd(middle, middle, distance, reach, step, steps, norm=NORMS[self.direction])
        context.progress(1.0)
        with torch.no_grad():
            return project(applied(perturbation), photos, context.budget)


def attention_distance(
    static: DiffusionModel,
    dynamic: DiffusionModel,
    clean: Tensor,
    prompt: str,
    sides: Collection[int] | None,
    generator: torch.Generator,
    by_head: bool = False,
) -> Objective:
    """How far the dynamic surrogate's attention to the cloaked photos is from the static one's to the clean (Sec. 4.1).

    Squared distances of cross- and self-attention maps, summed over positions, tokens and layers, at the same timestep
    and noise; mean over photos.

    Args:
        static: the surrogate that has learned the person.
        dynamic: the surrogate that learns the cloak; its text encoder does not change.
        clean: (n, 3, h, w) the clean photos.
        prompt: their caption.
        sides: of the maps, latent pixels; None for all.
        generator: of timesteps and noise.
        by_head: compare each head's map, instead of their means.
    """
    condition, static_condition = caption(dynamic, prompt, len(clean)), caption(static, prompt, len(clean))
    with torch.no_grad():
        original = static.posterior(clean)

    def distance(photos: Tensor) -> Tensor:
        same = twin(generator)
        with dynamic.watched(sides, by_head) as mine:
            step = denoise(dynamic, photos, condition, generator)
        with torch.no_grad(), static.watched(sides, by_head) as ideal:
            noised = static.add_noise(original.sample(same), step.noise, step.timesteps)
            static.predict(noised, step.timesteps, static_condition)
        pairs = [*zip(mine.cross, ideal.cross, strict=True), *zip(mine.self, ideal.self, strict=True)]
        return torch.stack([(a - b).square().sum() for a, b in pairs]).sum() / len(photos)

    return distance
