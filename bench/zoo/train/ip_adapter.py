"""Train the IP-Adapters: `python -m bench.zoo.train.ip_adapter` (CLIP) and `--config-name=ip-adapter-faceid`.

The photo's embedding becomes four tokens, which every cross-attention attends to with K and V of its own (Ye et al.
2023, section 3.2). FaceID adds a LoRA on all attentions, as its authors do.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from bench.models.adapters.locate import load_ip_adapter
from bench.zoo.train.adapter import (
    MOST,
    SCALE,
    fresh_projections,
    ids,
    projections,
    save_groups,
    take_over,
)
from bench.zoo.train.embeddings import embed_faces, embed_views
from bench.zoo.train.precision import plain_attention
from bench.zoo.train.sampling import Predict
from bench.zoo.train.tokens import OFFICIAL, TokenAdapter, train_after_imitation

TOKENS = 4
LORA = ("q", "k", "v", "out")


class IpAdapter(TokenAdapter):
    """IP-Adapter on embeddings of the views.

    Args:
        shared: see `Adapter`.
        encoder: folder of the CLIP image encoder, or of the recogniser's pack for FaceID.
        faceid: whether it is FaceID.
        rank: of FaceID's LoRA; 0 trains without.
        cache: file for the embeddings.
        init: an adapter's file to start from; what it lacks starts anew.
    """

    def __init__(
        self, encoder: str, faceid: bool, rank: int, cache: str, init: str | None = None, **shared: Any
    ) -> None:
        super().__init__(**shared)
        self._encoder, self._faceid = Path(encoder), faceid
        embed = embed_faces if self._faceid else embed_views
        self._embeddings = embed(self._views, self._encoder, Path(cache))
        if self._faceid:
            self._embeddings = nn.functional.normalize(self._embeddings, dim=1)
        before = ids(self.module)
        layout = fresh(self._unet, self._embeddings.shape[1], faceid, rank)
        if init:
            take_over(layout, Path(init))
        load_ip_adapter(self._pipeline, layout)
        self._pipeline.set_ip_adapter_scale(SCALE)
        plain_attention(self._unet)
        self.trainable(before)

    def _predict(
        self, noised: Tensor, timesteps: Tensor, hidden: Tensor, rows: Tensor, random: torch.Generator
    ) -> Tensor:
        who = self._other_views(rows, random)
        return self._answer(noised, timesteps, hidden, who[:, None])

    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        photos = int(torch.randint(1, MOST + 1, (1,), generator=random))
        who = torch.stack([self._embeddings[self._partners.of(rows, random)] for _ in range(photos)], dim=1)
        hidden, empty = self._states(self._prompts(len(rows), random)), self._states([""] * len(rows))

        return (
            partial(self._answer, hidden=hidden, who=who),
            partial(self._answer, hidden=empty, who=torch.zeros_like(who)),
        )

    def _answer(self, noised: Tensor, timesteps: Tensor, hidden: Tensor, who: Tensor) -> Tensor:
        """The UNet's prediction for photos whose embeddings are (n, photos, dim)."""
        extra = {"image_embeds": [who]}
        predicted: Tensor = self._unet(noised, timesteps, hidden, added_cond_kwargs=extra, return_dict=False)[0]
        return predicted

    def tokens(self, embeddings: Tensor) -> Tensor:
        said: Tensor = self._unet.encoder_hid_proj([embeddings[:, None]])[0][:, 0]
        return said

    def export(self, folder: Path) -> None:
        name = "ip-adapter-faceid" if self._faceid else "ip-adapter"
        tokens = projections(self._unet) | lora(self._unet)
        save_groups(folder / f"{name}.safetensors", image_proj=image_proj(self._unet), ip_adapter=tokens)


def fresh(unet: Any, width: int, faceid: bool, rank: int) -> dict[str, dict[str, Tensor]]:
    """A new adapter in the official layout, for embeddings of some width."""
    out = TOKENS * unet.config.cross_attention_dim
    norm = nn.LayerNorm(unet.config.cross_attention_dim)
    layers = nn.ModuleDict({"proj": nn.Linear(width, out), "norm": norm})
    if faceid:
        layers["proj"] = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, out))
    return {
        "image_proj": dict(layers.state_dict()),
        "ip_adapter": fresh_projections(unet) | (_fresh_lora(unet, rank) if rank else {}),
    }


def image_proj(unet: Any) -> dict[str, Tensor]:
    """The projection of the loaded adapter, named as in the official files."""
    layer = unet.encoder_hid_proj.image_projection_layers[0]
    names = {f"{stock}.": f"{official}." for official, stock in (OFFICIAL | {"proj": "image_embeds"}).items()}
    found = {}
    for key, value in layer.state_dict().items():
        old = next((old for old in names if key.startswith(old)), "")
        found[names.get(old, "") + key.removeprefix(old)] = value
    return found


def _fresh_lora(unet: Any, rank: int) -> dict[str, Tensor]:
    """LoRA on all attentions: `down` random, `up` zero, so that it starts as nothing."""
    weights, found = unet.state_dict(), {}
    for number, name in enumerate(unet.attn_processors):
        for which in LORA:
            layer = name.replace("processor", "to_out.0" if which == "out" else f"to_{which}")
            rows, columns = weights[f"{layer}.weight"].shape
            found[f"{number}.to_{which}_lora.down.weight"] = torch.randn(rank, columns) / rank
            found[f"{number}.to_{which}_lora.up.weight"] = torch.zeros(rows, rank)
    return found


def lora(unet: Any) -> dict[str, Tensor]:
    """The LoRA of the loaded adapter, named as in the official files; nothing if it has none."""
    weights, found = unet.state_dict(), {}
    for number, name in enumerate(unet.attn_processors):
        for which in LORA:
            layer = name.replace("processor", "to_out.0" if which == "out" else f"to_{which}")
            for end, letter in (("down", "A"), ("up", "B")):
                key = f"{layer}.lora_{letter}.faceid_0.weight"
                if key in weights:
                    found[f"{number}.to_{which}_lora.{end}.weight"] = weights[key]
    return found


@hydra.main(version_base=None, config_path="conf", config_name="ip-adapter")
def main(config: DictConfig) -> None:
    """Train the adapter of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train_after_imitation(IpAdapter(**config.adapter), config)


if __name__ == "__main__":
    main()
