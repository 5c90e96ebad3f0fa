"""LoRA and DreamBooth on Stable Diffusion 3 and FLUX, by the training scripts among diffusers' examples.

As in `training`; T5 reads as many tokens as our pictures are made with, and FLUX is told the guidance of the README.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.upstream import Comparison
from benchmarks.upstream.training import RANK, Method, Setup, compared
from tests.support import tiny_flow

MADE = {"sd3": tiny_flow.sd3, "flux": tiny_flow.flux}
TOLD = {"sd3": ["--max_sequence_length", "256"], "flux": ["--max_sequence_length", "512", "--guidance_scale", "1"]}


def compare(clones: Path, root: Path) -> Iterator[Comparison]:
    """Losses of all steps, and weights at the end."""
    for family, made in MADE.items():
        setup = Setup.beside(made(root / family / "model"), root / family, steps=6)
        lora = [*TOLD[family], "--rank", str(RANK)]
        script = "dreambooth/train_dreambooth"
        methods = {
            "lora": Method(f"{script}_lora_{family}", "lora", {"preset": f"hf_{family}"}, lora, "transformer"),
            "dreambooth": Method(
                f"{script}_{family}", "dreambooth", {"preset": "hf_flow"}, TOLD[family], "transformer"
            ),
        }
        for name, method in methods.items():
            yield from compared(clones, setup, f"{family} {name}", method)
