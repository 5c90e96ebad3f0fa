"""Train InstantID: `python -m bench.zoo.train.instantid`. IdentityNet on the drawn key points, a resampler, K and V.

The face embedding becomes 16 tokens, which the UNet's cross-attentions see beside the text, and IdentityNet in place of
it (Wang et al. 2024, section 3.2). IdentityNet starts as a copy of the UNet's encoder.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from diffusers import ControlNetModel
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from omegaconf import DictConfig
from torch import Tensor

from bench.core.images import to_tensor
from bench.models.adapters.instantid import IdentityNet, draw_points
from bench.models.adapters.locate import load_ip_adapter
from bench.zoo.train.adapter import (
    SCALE,
    fresh_projections,
    ids,
    projections,
    save_groups,
    take_over,
)
from bench.zoo.train.embeddings import embed_faces
from bench.zoo.train.precision import device, plain_attention
from bench.zoo.train.sampling import Predict
from bench.zoo.train.tokens import TokenAdapter, train_after_imitation

WIDTH, HEADS, DEPTH, TOKENS = 128, 2, 4, 16
"""Of the resampler; the loader of diffusers fixes depth 4 and 64 values per head."""
CONDITION = {64: (16, 32, 64), 128: (16, 32, 48, 64)}
"""Side of the drawing -> channels of the convolutions that bring it down to the latents' size."""


class InstantId(TokenAdapter):
    """InstantID on embeddings and key points of the views.

    Args:
        shared: see `Adapter`.
        encoder: folder of the recogniser's pack.
        cache: file for the embeddings.
        init: an IP-Adapter's file to start from: its K and V know what to do with tokens of a face. If it is
            InstantID's own, IdentityNet goes on from the one beside it.
    """

    placed = 0.5  # it is told where the face is

    def __init__(self, encoder: str, cache: str, init: str | None = None, **shared: Any) -> None:
        super().__init__(**shared)
        self._embeddings = embed_faces(self._views, Path(encoder), Path(cache))
        before = ids(self.module)
        width = self._unet.config.cross_attention_dim
        resampler = IPAdapterPlusImageProjection(self._embeddings.shape[1], width, WIDTH, DEPTH, 64, HEADS, TOKENS)
        layout = {"image_proj": official(resampler.state_dict()), "ip_adapter": fresh_projections(self._unet)}
        if init:
            take_over(layout, Path(init))
        known = Path(init).with_name("ControlNetModel") if init else None
        if known and known.is_dir():
            copied = ControlNetModel.from_pretrained(known, dtype=torch.float32)
        else:
            channels = CONDITION[self._views.side]
            copied = ControlNetModel.from_unet(self._unet, conditioning_embedding_out_channels=channels)
        load_ip_adapter(self._pipeline, layout)
        self._pipeline.set_ip_adapter_scale(SCALE)
        plain_attention(self._unet)
        config = {key: value for key, value in copied.config.items() if key != "_name_or_path"}  # the trainer's own
        self._net = IdentityNet.from_config(config)
        self._net.load_state_dict(copied.state_dict())
        plain_attention(self._net)
        self.module["identity_net"] = self._net
        self.trainable(before)

    def _predict(
        self, noised: Tensor, timesteps: Tensor, hidden: Tensor, rows: Tensor, random: torch.Generator
    ) -> Tensor:
        who = self._other_views(rows, random)
        return self._answer(noised, timesteps, hidden, who, self._drawn(rows))

    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        who = self._embeddings[self._partners.of(rows, random)]
        hidden, empty = self._states(self._prompts(len(rows), random)), self._states([""] * len(rows))
        drawn = self._drawn(rows)

        return (
            partial(self._answer, hidden=hidden, who=who, drawn=drawn),
            partial(self._answer, hidden=empty, who=torch.zeros_like(who), drawn=drawn),
        )

    def _drawn(self, rows: Tensor) -> Tensor:
        """(n, 3, side, side) in [0, 1]: the drawings of the views' key points."""
        points = self._views.points(rows).double().numpy()
        return to_tensor([draw_points(p, self._views.side) for p in points]).to(device())

    def _answer(self, noised: Tensor, timesteps: Tensor, hidden: Tensor, who: Tensor, drawn: Tensor) -> Tensor:
        """The UNet's prediction for embeddings (n, dim) and drawings."""
        self._net.face = self.tokens(who)
        down, middle = self._net(
            noised, timesteps, hidden, controlnet_cond=drawn, conditioning_scale=SCALE, return_dict=False
        )
        predicted: Tensor = self._unet(
            noised,
            timesteps,
            hidden,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs={"image_embeds": [who[:, None, None]]},
            return_dict=False,
        )[0]
        return predicted

    def tokens(self, embeddings: Tensor) -> Tensor:
        said: Tensor = self._unet.encoder_hid_proj([embeddings[:, None, None]])[0][:, 0]
        return said

    def export(self, folder: Path) -> None:
        projection = self._unet.encoder_hid_proj.image_projection_layers[0]
        save_groups(
            folder / "ip-adapter.safetensors",
            image_proj=official(projection.state_dict()),
            ip_adapter=projections(self._unet),
        )
        net = ControlNetModel.from_config(self._net.config)
        net.load_state_dict(self._net.state_dict())
        net.half().save_pretrained(folder / "ControlNetModel")


def official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The resampler's weights as the official files name them; K and V are one matrix there."""
    names = {
        "ln0": "0.norm1",
        "ln1": "0.norm2",
        "attn.to_q": "0.to_q",
        "attn.to_out.0": "0.to_out",
        "ff.0": "1.0",
        "ff.1.net.0.proj": "1.1",
        "ff.1.net.2": "1.3",
    }
    found = {}
    for key, value in state.items():
        prefix, number, rest = key.split(".", 2) if key.startswith("layers.") else ("", "", key)
        inner, _, kind = rest.rpartition(".")
        if inner == "attn.to_k":
            found[f"layers.{number}.0.to_kv.{kind}"] = torch.cat([value, state[f"layers.{number}.attn.to_v.{kind}"]])
        elif prefix and inner != "attn.to_v":
            found[f"layers.{number}.{names[inner]}.{kind}"] = value
        elif not prefix:
            found[key] = value
    return found


@hydra.main(version_base=None, config_path="conf", config_name="instantid")
def main(config: DictConfig) -> None:
    """Train the adapter of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train_after_imitation(InstantId(**config.adapter), config)


if __name__ == "__main__":
    main()
