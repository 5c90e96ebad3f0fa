"""CLIP score against transformers' own scores of the same pairs, on a tiny model with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.config.schema import MetricSettings, Protocol
from bench.core.errors import BenchError
from bench.core.types import Pixels
from bench.data.synthetic import Synthetic
from bench.evaluation.clip_score import ClipScore
from bench.evaluation.scorer import CellMetrics, KeyedImages, Scorer
from bench.models.weights.files import ZOO
from bench.store import Store

PROMPTS = ("a photo of {subject}", "a dslr portrait of {subject}")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of 32 px whose tokenizer is that of facelet-1."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

    folder = tmp_path_factory.mktemp("clip")
    tokens = CLIPTextConfig.from_pretrained(ZOO / "facelet-1" / "text_encoder")
    special = {name: getattr(tokens, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, **special, "vocab_size": tokens.vocab_size, "max_position_embeddings": 24}
    vision = {**small, "image_size": 32, "patch_size": 8}
    torch.manual_seed(1)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    shutil.copytree(ZOO / "facelet-1" / "tokenizer", folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(64)]


def test_it_is_what_transformers_says_of_the_pairs(clip: Path, pictures: list[Pixels]) -> None:
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    scores = ClipScore(str(clip), PROMPTS * 32).describe(pictures)["clip_score"]
    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), CLIPTokenizer.from_pretrained(clip)
    texts = tokenizer(["a photo of a person", "a dslr portrait of a person"], padding=True, return_tensors="pt")
    seen = CLIPImageProcessorPil(size=32, crop_size=32)(pictures, return_tensors="pt")
    with torch.no_grad():
        both = model(**texts, **seen)
    cosines = (both.logits_per_image / model.logit_scale.exp()).detach().numpy()
    expected = 100 * np.maximum(0, cosines[np.arange(64), np.arange(64) % 2])
    assert len(set(expected.round(3))) > 8
    assert (cosines[np.arange(64), np.arange(64) % 2] < 0).any()
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_a_picture_is_given_the_same_alone(clip: Path, pictures: list[Pixels]) -> None:
    together = ClipScore(str(clip), PROMPTS[:1] * 64).describe(pictures)["clip_score"]
    alone = ClipScore(str(clip), PROMPTS[:1]).describe(pictures[40:41])["clip_score"]
    assert together[40] == alone[0]


def test_scores_are_named_by_the_weights_and_the_prompts(clip: Path, tmp_path: Path) -> None:
    same = ClipScore(str(clip), PROMPTS).fingerprint
    assert ClipScore(str(clip), PROMPTS).fingerprint == same
    assert ClipScore(str(clip), PROMPTS[::-1]).fingerprint != same
    other = Path(shutil.copytree(clip, tmp_path / "other"))
    assert ClipScore(str(other), PROMPTS).fingerprint == same
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert ClipScore(str(other), PROMPTS).fingerprint != same


def test_a_model_that_is_not_here_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("a download was attempted"))
    with pytest.raises(BenchError, match=r"not on this machine(.|\n)*hf download nobody/clip(.|\n)*metric.clip="):
        _ = ClipScore("nobody/clip", PROMPTS).fingerprint


def test_every_picture_is_held_against_its_own_prompt(clip: Path, tmp_path: Path, pictures: list[Pixels]) -> None:
    settings = MetricSettings(quality=("clip_score",), recognisers=(), clip=str(clip))
    protocol = Protocol(prompts=PROMPTS, images_per_prompt=2, far=0.01)
    scorer = Scorer(settings, protocol, Synthetic(limit=1).load(64), Store(tmp_path), lambda: "cpu")
    found = CellMetrics()
    scorer._quality(found, KeyedImages("pictures", pictures[:4]))
    expected = ClipScore(str(clip), (PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1])).describe(pictures[:4])
    assert [scores["clip_score"] for scores in found.pictures] == expected["clip_score"].tolist()
    assert found.metrics["clip_score"] == pytest.approx(expected["clip_score"].mean())
