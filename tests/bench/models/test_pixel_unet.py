"""UNets on pixels: photos of any side go in and come out in place, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.models import pixel_unet
from tests.support import tiny


class Echo:
    """A network that says what it is shown."""

    def __init__(self, channels: int) -> None:
        self.config = SimpleNamespace(in_channels=channels, block_out_channels=(1, 2, 3))
        self.shapes: list[torch.Size] = []

    def __call__(self, folded: Tensor, timesteps: Tensor) -> Any:
        self.shapes.append(folded.shape)
        return SimpleNamespace(sample=folded)


@pytest.mark.parametrize(("channels", "fold"), [(3, 1), (12, 2), (48, 4)])
@pytest.mark.parametrize("side", [64, 30])
def test_every_pixel_comes_back_where_it_was(channels: int, fold: int, side: int) -> None:
    photos, echo = torch.rand(2, 3, side, side), Echo(channels)
    assert torch.equal(pixel_unet.answer(echo, photos, torch.zeros(2)), photos)
    (shape,) = echo.shapes
    assert shape[1] == channels
    assert shape[-1] % 4 == 0  # three levels
    assert shape[-1] * fold >= side


def test_a_new_one_says_nothing_and_is_for_photos_of_128_px() -> None:
    network = pixel_unet.small(16)
    assert pixel_unet.side(network) == 128
    with torch.no_grad():
        assert not pixel_unet.answer(network, torch.rand(1, 3, 128, 128), torch.zeros(1)).any()


def test_channels_that_fold_no_colours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="takes 6 channels and gives 6"):
        pixel_unet.load(tiny.pixel_network(tmp_path, channels=6), "of six channels", "cpu")


def test_what_is_none_on_colour_pictures_is_refused(tmp_path: Path) -> None:
    folder = tiny.pixel_network(tmp_path)
    assert pixel_unet.side(pixel_unet.load(folder, "as it is", "cpu")) == tiny.SIDE
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"out_channels": 6}))
    with pytest.raises(BenchError, match=r"does not load|12 channels and gives 6"):
        pixel_unet.load(folder, "changed", "cpu")
