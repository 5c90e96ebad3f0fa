"""Pictures that targeted cloaks pull towards."""

from __future__ import annotations

import torch
from torch import Tensor

_LETTERS = (
    ("X...X", "XX.XX", "X.X.X", "X...X", "X...X"),
    ("XXXXX", "..X..", "..X..", "..X..", "XXXXX"),
    (".XXXX", "X....", ".XXX.", "....X", "XXXX."),
    ("XXXXX", "..X..", "..X..", "..X..", "..X.."),
)


def pattern(side: int) -> Tensor:
    """(1, 3, side, side) in [0, 1]: small letters in black on white, repeated over the whole picture.

    Mist found that a target with much contrast, repeated, protects best (Liang and Wu 2023). This one is ours,
    so that nothing of theirs is needed; a letter is a sixteenth of the picture wide.
    """
    letters = [torch.tensor([[mark == "X" for mark in row] for row in letter]) for letter in _LETTERS]
    spaced = [torch.nn.functional.pad(letter, (0, 1, 0, 1)) for letter in letters]
    word = torch.cat([torch.cat(spaced[:2], dim=1), torch.cat(spaced[2:], dim=1)], dim=0)  # 12 x 12: two lines
    tiles = word.repeat(8, 8)[:96, :96].float()
    picture = 1 - torch.nn.functional.interpolate(tiles[None, None], (side, side), mode="area")
    return picture.expand(1, 3, side, side).contiguous()
