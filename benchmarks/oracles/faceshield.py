"""FaceShield (kuai-lab/iccv25_faceshield, `attack.py`, `utils/utils.py`, `utils/dct.py`), one photo at a time as there.

Its attention processor is read in a fork, imagecbj/An-Adversarial-Attack-Method-against-Diffusion-Based-Face-Swapping-
Forgery. Filters are SciPy's here. Recognisers are onnxruntime's networks as torch modules, normalised as ours are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import fft, ndimage
from torch import Tensor

from bench.models.adapters.clip import load_image_encoder
from bench.models.adapters.locate import load_ip_adapter, locate_adapter
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.embedder import FaceEmbedder
from bench.models.faces.insightface import locate_pack
from benchmarks.oracles import LEVELS, Row, attentive, cloaks, context, number, photos, protect, slopes, vectors
from defenses.faceshield import FaceShield
from defenses.filters import low_pass, soften
from tests.support import tiny
from tests.support.plain_steps import Plain, projected, shares

NAME = "faceshield"
SIDE, STEP, STEPS = 8, 1.0, 4
LOWEST = 0.2
PASSED = np.array([[column < kept for column in range(8)] for kept in (6, 5, 5, 4, 3, 2, 0, 0)])


def compare(root: Path) -> Iterator[Row]:
    """The attention's loss, the shares of the gradient, the filters, and whole cloaks."""
    base, clean = attentive(root, 3), photos()
    packs = [str(tiny.pack(root / f"pack{seed}", seed)) for seed in (0, 1)]
    folder = str(tiny.ip_adapter(root / "adapter", base.unet))
    settings: dict[str, Any] = {"recognisers": packs, "adapter": folder, "sides": [SIDE], "step": STEP, "steps": STEPS}
    made = {variant: protect(NAME, base, clean, variant, **settings) for variant in ("as_released", "intended")}
    adapter, pipeline = locate_adapter("ip-adapter", folder, "tiny"), base.pipeline()
    load_ip_adapter(pipeline, adapter.tensors())
    one = clean[:1]
    x = (one + 0.02 * torch.sign(one - 0.6)).clamp(0, 1)
    tower = load_image_encoder(adapter.image_encoder).requires_grad_(False)
    networks = [FaceEmbedder(locate_pack(pack)) for pack in packs]

    def slope(**weights: float) -> Tensor:
        more = {"recognisers": tuple(packs), "adapter": folder, "sides": (SIDE,)}
        defense = FaceShield(variant="as_released", **more, **weights)  # type: ignore[arg-type]
        objective = defense.objective(base, one, context(base, one))
        return slopes(lambda x: [-objective(x)], x)[0]

    noise = torch.randn(len(clean), *base.latent_shape, generator=torch.Generator().manual_seed(0))
    photo = _Photo(base, tower, networks, one, torch.randn(noise[:1].shape, generator=torch.Generator().manual_seed(0)))
    identity, clip, attention = slopes(photo.losses, x)
    alone = slope(identity_weight=0.0, attention_weight=0.0)
    for what, theirs, ours in (
        ("identity's", 4 * identity, slope(attention_weight=0.0) - alone),
        ("attention's", attention, slope(identity_weight=0.0) - alone),
    ):
        percent = [100 * float(a.norm() / b.norm()) for a, b in ((theirs, clip), (ours, alone))]
        yield number(NAME, f"{what} gradient, % of CLIP's", *percent)
    yield vectors(NAME, "gradient", 4 * identity + clip + attention, slope())
    step = torch.sign(identity)
    yield vectors(NAME, "step, blurred at its edges", _softened(step), soften(step), step)
    rough = torch.randn(1, 3, 30, 37, generator=torch.Generator().manual_seed(0))
    yield vectors(NAME, "low frequencies", _passed(rough), low_pass(rough), rough)
    found = [_Photo(base, tower, networks, c[None], e[None]) for c, e in zip(clean, noise, strict=True)]
    theirs = torch.cat([each.cloaked() for each in found])
    pipeline.unload_ip_adapter()
    yield cloaks(NAME, f"cloak, {STEPS} steps", clean, theirs, made["as_released"], made["intended"])


@dataclass
class _Photo:
    """A clean photo (1, 3, h, w), and what is measured from it."""

    base: DiffusionModel
    tower: Any
    networks: list[FaceEmbedder]
    clean: Tensor
    noise: Tensor

    def __post_init__(self) -> None:
        with torch.no_grad():
            posterior = self.base.vae.encode(self.clean).latent_dist  # in [0, 1], as there
            self.latents = (posterior.mean + posterior.std * self.noise) * self.base.vae.config.scaling_factor
            self.encoded = self._encoded(self.clean)
            self.targets = [self.networks[0](face) for face in _small(self.clean)]
            self.masks = [torch.where(v < torch.quantile(v, LOWEST), 1.0, 0.0) for v in self._variances(self.encoded)]

    def _encoded(self, x: Tensor) -> Tensor:
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        small = F.interpolate(x, size=(tiny.SIDE, tiny.SIDE), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        embedded: Tensor = self.tower((small - mean) / std).image_embeds
        return embedded

    def _variances(self, encoded: Tensor) -> list[Tensor]:
        """Variance over the image tokens, of each head and place of each layer; unnoised latents at timestep 0."""
        unet = self.base.unet
        text = Plain(self.base, torch.Generator()).hidden("", 1)
        with projected(unet) as seen:
            added = {"image_embeds": [encoded[:, None]]}
            unet(self.latents, torch.tensor([0]), text, added_cond_kwargs=added)
        tokens = unet.encoder_hid_proj([encoded[:, None]])[0][:, 0]
        found = []
        for name, (query, *_) in seen.items():
            layer = unet.get_submodule(name)
            if name.endswith("attn2") and query.shape[1] == SIDE**2:
                weights = shares(query, layer.processor.to_k_ip[0](tokens), layer.heads)
                found.append(torch.var(weights, dim=-1, keepdim=True))
        return found

    def losses(self, x: Tensor) -> list[Tensor]:
        """Identity, image encoder and attention, all to be made small."""
        cosines = [
            F.cosine_similarity(net(f), t) for net, f, t in zip(self.networks, _small(x), self.targets, strict=True)
        ]
        identity = -sum((1 - c).mean() for c in cosines)
        encoded = self._encoded(x)
        pairs = zip(self._variances(encoded), self.masks, strict=True)
        attention = sum(F.mse_loss(v * mask, 1.875 * mask) for v, mask in pairs)
        return [torch.as_tensor(identity), -F.l1_loss(encoded, self.encoded), torch.as_tensor(attention)]

    def cloaked(self) -> Tensor:
        """Steps of the perturbation, in grey levels, from none."""
        delta = torch.zeros_like(self.clean)
        for _ in range(STEPS):
            at = delta.clone().requires_grad_(True)
            identity, clip, attention = self.losses((255 * self.clean + at).clamp(0, 255) / 255)
            (slope,) = torch.autograd.grad(4 * identity + clip + attention, at)
            delta = _passed(delta - _softened(STEP * slope.sign())).clamp(-LEVELS, LEVELS)
        return (255 * self.clean + delta).clamp(0, 255) / 255


def _small(x: Tensor) -> list[Tensor]:
    """A whole photo for both recognisers: by way of 224 px for the first."""
    first = F.interpolate(x, (224, 224), mode="bilinear", align_corners=False)
    return [F.interpolate(first, (112, 112)), F.interpolate(x, (112, 112))]


def _softened(step: Tensor) -> Tensor:
    """Sobel's maximum, grown to 9 x 9, says where a Gaussian of 9 x 9 with sigma 5 is put."""
    values = step[0].double().numpy()
    scaled = (values - values.min()) / (values.max() - values.min())
    slopes_of = [np.abs([ndimage.sobel(c, axis, mode="constant") for c in scaled]) for axis in (0, 1)]
    lines = [np.isclose(s, s.max()) for s in slopes_of]
    near = np.stack([ndimage.binary_dilation(line, np.ones((9, 9))) for line in lines[0] | lines[1]])
    blurred = np.stack([ndimage.gaussian_filter(c, 5.0, mode="constant", radius=4) for c in values])
    return torch.from_numpy(np.where(near, blurred, values)).to(step)[None]


def _passed(delta: Tensor) -> Tensor:
    """SciPy's cosine transform of each block, of which a staircase of coefficients is kept."""
    values = delta[0].double().numpy()
    channels, height, width = values.shape
    rows, columns = -(-height // 8), -(-width // 8)
    padded = np.pad(values, ((0, 0), (0, 8 * rows - height), (0, 8 * columns - width)))
    blocks = padded.reshape(channels, rows, 8, columns, 8)
    kept = fft.dctn(blocks, axes=(2, 4), norm="ortho") * PASSED[:, None]
    back = fft.idctn(kept, axes=(2, 4), norm="ortho").reshape(padded.shape)
    return torch.from_numpy(back[:, :height, :width]).to(delta)[None]
