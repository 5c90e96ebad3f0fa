"""Which kind of vision tower a folder has."""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.errors import BenchError


def check_kind(folder: Path, name: str, *kinds: str) -> None:
    """Raises BenchError unless the configuration in a folder is of one of these model types.

    transformers would load another one's weights with a warning, and fill up with random ones.
    """
    found = json.loads((folder / "config.json").read_text()).get("model_type")
    if found not in kinds:
        raise BenchError(
            f"The image encoder in {folder} is a {found}, and this adapter was trained with {name}.",
            f"Set image_encoder to the folder of the {name} tower: config.json and model.safetensors.",
        )
