"""What is shipped is what stock diffusers reads: no code of ours loads or generates here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from bench.core.hashing import sha256_file
from bench.data.synthetic import Synthetic
from bench.models.faces.dlib_recogniser import DlibRecogniser
from bench.models.weights.files import ZOO
from bench.zoo.make_manifest import shipped_files, size

ADAPTERS = ZOO / "adapters" / "facelet-1"


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    stock = StableDiffusionPipeline.from_pretrained(ZOO / "facelet-1", dtype=torch.float32)
    stock.set_progress_bar_config(disable=True)
    stock.load_ip_adapter(str(ADAPTERS), subfolder="ip-adapter", weight_name="ip-adapter.safetensors")
    return stock


def test_the_stock_pipeline_generates_faces_with_the_stock_ip_adapter(pipeline: StableDiffusionPipeline) -> None:
    photo = Synthetic(limit=1).load(pipeline.vae_scale_factor * 16).identities[0].protect[0].pixels
    judge, count = DlibRecogniser(), 4

    def faces(scale: float) -> list[np.ndarray]:
        pipeline.set_ip_adapter_scale(scale)
        pictures = pipeline(
            ["a photo of a person"] * count,
            ip_adapter_image=Image.fromarray(photo),
            num_inference_steps=20,
            guidance_scale=3.0,
            generator=[torch.Generator().manual_seed(i) for i in range(count)],
            output_type="np",
        ).images
        found = [judge.find((picture * 255).round().astype(np.uint8)) for picture in pictures]
        return [face[0].embedding for face in found if face]

    told, untold = faces(1.0), faces(0.0)
    assert len(told) >= count // 2
    who = judge.find(photo)[0].embedding
    assert np.mean([face @ who for face in told]) > np.mean([face @ who for face in untold]) + 0.1


def test_the_second_base_generates_faces_too(pipeline: StableDiffusionPipeline) -> None:
    other = StableDiffusionPipeline.from_pretrained(ZOO / "facelet-2", dtype=torch.float32)
    other.set_progress_bar_config(disable=True)
    assert other.scheduler.config.prediction_type == "v_prediction" != pipeline.scheduler.config.prediction_type
    assert other.unet.config.cross_attention_dim != pipeline.unet.config.cross_attention_dim
    pictures = other(
        ["a photo of a woman", "a photo of a man"] * 4,
        num_inference_steps=20,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(i) for i in range(8)],
        output_type="np",
    ).images
    judge = DlibRecogniser()
    assert sum(len(judge.find((picture * 255).round().astype(np.uint8))) == 1 for picture in pictures) >= 6


def test_every_shipped_file_is_published_and_unchanged() -> None:
    published = json.loads((ZOO / "manifest.json").read_text())
    assert published == {file.relative_to(ZOO).as_posix(): sha256_file(file) for file in shipped_files()}
    folders = {name.split("/")[0] for name in published}
    others = {"adapters", "countermeasures", "recognisers", "judge", "judges", "faces"}
    assert folders == {"facelet-1", "facelet-2", *others}


def test_the_family_is_small() -> None:
    assert size(shipped_files()) <= 95e6, "with what else is in the wheel, package indexes take no more"


def test_a_file_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    for name, content in (("a", b"123"), ("b", b"123"), ("c", b"45")):
        (tmp_path / name).write_bytes(content)
    assert size(sorted(tmp_path.iterdir())) == 5
