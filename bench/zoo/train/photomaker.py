"""Train PhotoMaker, version 2: `python -m bench.zoo.train.photomaker`. Its id encoder, and a LoRA on the attentions.

In the caption the word "person" is repeated once per token, two for a photo, and each copy is fused with one (Li et
al. 2024, section 3.2; version 2 has no paper, see `bench.models.adapters.photomaker`). The vision tower is the
family's CLIP image encoder and stays as it is. There is far too little data here for the authors' way, which is to
learn from denoising alone; so it learns from the base with a trained FaceID adapter: at every step, to predict what
that predicts of the same person.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from attacks.photomaker import CLASS_WORD
from bench.models.adapters.locate import load_ip_adapter, read_groups
from bench.models.adapters.photomaker import PhotoMakerEncoder
from bench.zoo.train.adapter import MOST, SCALE, Adapter, ids, save_groups
from bench.zoo.train.base import Step
from bench.zoo.train.embeddings import embed_faces, tower_pixels
from bench.zoo.train.loop import Schedule, train
from bench.zoo.train.precision import device, plain_attention
from bench.zoo.train.sampling import Predict

LATEST = 800
"""Timestep from which sampling has the plain prompt: the attack starts to merge after a fifth of the steps."""
HIDDEN, TOKENS = 512, 2
"""Hidden width and tokens a photo of the network that reads the recogniser's embedding."""
STUDENT = "photomaker"
"""Name of its LoRA in the UNet."""
TEACHING = 10.0
"""Weight of the difference to the teacher's predictions; beside the likeness, as they are small numbers."""


class PhotoMaker(Adapter):
    """PhotoMaker on the views.

    Args:
        shared: see `Adapter`.
        encoder: folder of the CLIP image encoder.
        pack: folder of the recogniser's pack, the teacher's own.
        cache: file for the recogniser's embeddings.
        teacher: file of the FaceID adapter to learn from.
        rank: of the LoRA.
        init: a PhotoMaker's file to go on from, with a LoRA of this rank; the vision tower is `encoder`'s.
    """

    def __init__(
        self, encoder: str, pack: str, cache: str, teacher: str, rank: int, init: str | None = None, **shared: Any
    ) -> None:
        super().__init__(**shared)
        self._embeddings = embed_faces(self._views, Path(pack), Path(cache))
        load_ip_adapter(self._pipeline, read_groups(Path(teacher)))
        plain_attention(self._unet)
        self.module.requires_grad_(False)

        width = self._unet.config.cross_attention_dim
        config = CLIPVisionConfig.from_pretrained(encoder, projection_dim=width, dtype="float32")
        self._encoder = PhotoMakerEncoder(config, perceiver=(self._embeddings.shape[1], HIDDEN, TOKENS))
        before = ids(self.module)
        self.module["encoder"] = self._encoder
        targets = ["to_q", "to_k", "to_v", "to_out.0"]
        self._teachers = list(getattr(self._unet, "peft_config", {}))  # the LoRA of FaceID, if it has one
        self._unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), STUDENT)
        if init:
            known = {
                group: {name: w.float() for name, w in named.items()}
                for group, named in read_groups(Path(init)).items()
            }
            self._encoder.load_state_dict(known["id_encoder"])
            adapted = {name.removeprefix("unet."): w for name, w in known["lora_weights"].items()}
            set_peft_model_state_dict(self._unet, adapted, STUDENT)
        tower = CLIPVisionModelWithProjection.from_pretrained(encoder, dtype=torch.float32)
        self._encoder.vision_model.load_state_dict(tower.vision_model.state_dict())
        self.trainable(before)
        self._encoder.vision_model.requires_grad_(False)
        (self._word,) = self._tokenizer(CLASS_WORD, add_special_tokens=False).input_ids

    def _errors(self, step: Step) -> tuple[Tensor, Tensor]:
        """Squared difference (n,) to the teacher's prediction, and its weight (n,)."""
        _, weight = super()._errors(step)
        return (step.predicted - self._taught).square().mean(dim=(1, 2, 3)), TEACHING * weight

    def _condition(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Hidden states of captions with the person's tokens fused in; a tenth of them is empty."""
        self._shown = self._present(len(rows), random).bool()
        return self._told_condition(rows, random)

    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        self._speak(teacher=False)
        self._shown = torch.ones(len(rows)).bool()
        fused, empty = self._told_condition(rows, random), self._states([""] * len(rows))
        nobody = torch.zeros_like(self._embeddings[rows])

        def told(latents: Tensor, t: Tensor) -> Tensor:
            return self._answer(latents, t, self._plain if t >= LATEST else fused, nobody)

        return told, partial(self._answer, hidden=empty, who=nobody)

    def _told_condition(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Hidden states of captions, with the person's tokens where the person is shown."""
        photos = int(torch.randint(1, MOST + 1, (1,), generator=random))
        shown, templates = self._shown, self._templates(len(rows), random)
        _, self._plain = self._filled(templates, CLASS_WORD)
        tokens, hidden = self._filled(templates, " ".join([CLASS_WORD] * photos * TOKENS))
        partners = torch.cat([self._partners.of(rows[shown], random)[:, None] for _ in range(photos)], dim=1).flatten()
        pixels = tower_pixels(self._views.pixels(partners), self._encoder.config.image_size)
        who = self._encoder.tokens(pixels, self._embeddings[partners]).float()
        who = who.reshape(-1, photos * TOKENS, who.shape[-1])
        places = tokens == self._word
        mixed = hidden.clone()
        mixed[places] = self._encoder.fuse(hidden[places].reshape(who.shape), who).flatten(0, 1).float()
        return mixed

    def _predict(
        self, noised: Tensor, timesteps: Tensor, hidden: Tensor, rows: Tensor, random: torch.Generator
    ) -> Tensor:
        """The student's answer; the teacher's is kept for the loss."""
        who = F.normalize(self._embeddings[rows], dim=1) * self._shown[:, None].to(device())
        with torch.no_grad():
            self._speak(teacher=True)
            self._taught = self._answer(noised, timesteps, self._plain, who).float()
        self._speak(teacher=False)
        return self._answer(noised, timesteps, hidden, who)

    def _answer(self, noised: Tensor, timesteps: Tensor, hidden: Tensor, who: Tensor) -> Tensor:
        extra = {"image_embeds": [who[:, None]]}
        answer: Tensor = self._unet(noised, timesteps, hidden, added_cond_kwargs=extra, return_dict=False)[0]
        return answer

    def _speak(self, teacher: bool) -> None:
        """Switch the FaceID adapter on and the student's LoRA off, or the other way round."""
        self._pipeline.set_ip_adapter_scale(SCALE * teacher)
        self._unet.enable_adapters()
        if not teacher:
            self._unet.set_adapter(STUDENT)
        elif self._teachers:
            self._unet.set_adapter(self._teachers)
        else:
            self._unet.disable_adapters()

    def _filled(self, templates: list[str], subject: str) -> tuple[Tensor, Tensor]:
        """Tokens (n, length) of captions of a subject, empty where nobody is shown, and their states."""
        tokens = self._ids([t.format(subject) if show else "" for t, show in zip(templates, self._shown, strict=True)])
        hidden: Tensor = self.module["text_encoder"](tokens)[0].float()
        return tokens, hidden

    def export(self, folder: Path) -> None:
        adapted = {
            f"unet.{name}": value for name, value in get_peft_model_state_dict(self._unet, adapter_name=STUDENT).items()
        }
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
