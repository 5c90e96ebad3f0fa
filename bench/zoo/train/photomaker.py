"""Train PhotoMaker: `python -m bench.zoo.train.photomaker`. The whole id encoder, and a LoRA on the UNet's attentions.

In the caption the word "person" is repeated once per photo, and each copy is fused with one photo's token (Li et al.
2024, section 3.2). The vision tower starts from the family's CLIP image encoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from attacks.photomaker import CLASS_WORD
from bench.models.clip import clip_pixels
from bench.models.photomaker import PhotoMakerEncoder
from bench.zoo.train.adapter import Adapter, ids, save_groups
from bench.zoo.train.loop import Schedule, train

MOST = 2
"""Photos of a person in one caption, at most."""


class PhotoMaker(Adapter):
    """PhotoMaker on the views.

    Args:
        shared: see `Adapter`.
        encoder: folder of the CLIP image encoder that the vision tower starts from.
        rank: of the LoRA.
    """

    def __init__(self, encoder: str, rank: int, **shared: Any) -> None:
        super().__init__(**shared)
        config = CLIPVisionConfig.from_pretrained(encoder, projection_dim=self._unet.config.cross_attention_dim)
        self._encoder = PhotoMakerEncoder(config)
        tower = CLIPVisionModelWithProjection.from_pretrained(encoder, dtype=torch.float32)
        self._encoder.vision_model.load_state_dict(tower.vision_model.state_dict())
        before = ids(self.module)
        self.module["encoder"] = self._encoder
        targets = ["to_q", "to_k", "to_v", "to_out.0"]
        self._unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))
        self.trainable(before)
        (self._word,) = self._tokenizer(CLASS_WORD, add_special_tokens=False).input_ids

    def _condition(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Hidden states of captions with the person's tokens fused in; a tenth of them is empty."""
        count = int(torch.randint(1, MOST + 1, (1,), generator=random))
        shown = self._present(len(rows), random).bool()
        templates = self._templates(len(rows), random)
        words = " ".join([CLASS_WORD] * count)
        texts = [t.format(words) if show else "" for t, show in zip(templates, shown, strict=True)]
        tokens = self._ids(texts)
        hidden: Tensor = self.module["text_encoder"](tokens)[0]

        partners = torch.cat([self._partners.of(rows[shown], random)[:, None] for _ in range(count)], dim=1)
        pixels = clip_pixels(self._views.pixels(partners.flatten()), self._encoder.config.image_size)
        who = self._encoder.tokens(pixels).float()
        who = who.reshape(-1, count, who.shape[-1])
        places = tokens == self._word
        fused = self._encoder.fuse(hidden[places].float().reshape(who.shape), who)
        mixed = hidden.float().clone()
        mixed[places] = fused.flatten(0, 1).float()
        return mixed

    def export(self, folder: Path) -> None:
        adapted = {f"unet.{name}": value for name, value in get_peft_model_state_dict(self._unet).items()}
        encoder = self._encoder.state_dict()
        save_groups(folder / "photomaker.safetensors", id_encoder=encoder, lora_weights=adapted)
        self._encoder.config.save_pretrained(folder)


@hydra.main(version_base=None, config_path="conf", config_name="photomaker")
def main(config: DictConfig) -> None:
    """Train the adapter of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train(PhotoMaker(**config.adapter), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
