"""Where a base model's files are, whether they are whole, and what they hash to. Needs no torch.

A model is named by a local diffusers folder or by a hub id with a revision. The fingerprint goes into every stage
key and record, so a result always says which weights made it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.models.weights.files import ZOO, hashes
from bench.models.weights.published import GATED, MODELS, Missing, Published

_PARTS = ("vae", "text_encoder", "tokenizer", "scheduler")
"""What every model has, besides one of these, which denoises."""
_UNET, _TRANSFORMER = "unet", "transformer"
_WEIGHTED = (_UNET, _TRANSFORMER, "vae", "text_encoder")
"""How the names of those with weights begin."""
_SECOND = ("text_encoder_2", "tokenizer_2")
"""What SDXL has besides, and every model with a transformer."""
_THIRD = ("text_encoder_3", "tokenizer_3")
"""What Stable Diffusion 3 may have besides: T5."""
_OTHERS = ("low_res_scheduler",)
"""What counts if it is there: the upscaler's."""
_INDEX = "model_index.json"
"""Names the parts of a whole model; every model of the hub has it, our own folders may not."""
_CONFIG = "config.json"
_WEIGHTS = ".safetensors"
_SUFFIXES = (_WEIGHTS, ".json", ".txt", ".model")
COPIES = (".fp16.", ".fp16-", ".non_ema.")
"""In the names of weights that are there once more: unread, and as large as the others."""


@dataclass(frozen=True)
class Checkpoint:
    """Verified files of one model.

    Attributes:
        name: the model's name in the benchmark (`facelet-1`).
        path: the diffusers folder.
        revision: hub commit, or "local".
        fingerprint: hash of all weights and configuration files.
        files: relative file name -> sha256.
        fix: what to do when the files turn out to be damaged.
    """

    name: str
    path: Path
    revision: str
    fingerprint: str
    files: dict[str, str]
    fix: str

    @property
    def architecture(self) -> str:
        """What denoises: diffusers' name of its class."""
        folder = self.path / _TRANSFORMER
        if not folder.is_dir():
            return "UNet2DConditionModel"
        return str(json.loads((folder / _CONFIG).read_text()).get("_class_name"))


def locate(name: str, source: str, revision: str | None = None, mirrors: Sequence[str] = ()) -> Checkpoint:
    """Find and verify a model.

    Args:
        name: the model's name in the benchmark.
        source: "zoo" for one that comes with the package, a local diffusers folder, or a hub id.
        revision: hub commit or tag; ignored for local folders.
        mirrors: hub ids of copies, named when the model is not there. They are never used unasked: a copy may differ,
            and a result must say which model made it.

    Raises:
        BenchError: no such folder, or a file is missing, empty or damaged; `Missing` for a hub id that is not here.
    """
    if source == "zoo" and not (ZOO / name).is_dir():
        raise BenchError(f"No base model {name!r} comes with this version.", "Give its files: model.source=<folder>.")
    if source == "zoo":
        return _verified(name, ZOO / name, "local", "Reinstall cloakbench to get the file back.")
    if Path(source).expanduser().is_dir():
        return _verified(name, Path(source).expanduser(), "local", f"Copy the model to {source} again.")
    if source.startswith((".", "/", "~")):
        raise BenchError(f"model.source={source}: there is no such folder.", "Give a diffusers folder or a hub id.")
    path = _cached(name, source, revision, mirrors)
    return _verified(name, path, path.name, f"Delete {path} and fetch it again.")


def _verified(name: str, path: Path, revision: str, fix: str) -> Checkpoint:
    if lacking := _lacking(path):
        raise BenchError(f"The model folder {path} lacks {', '.join(lacking)}.", fix)
    files = sorted(file for part in _parts(path) for file in _files(path / part))
    found = hashes({f.relative_to(path).as_posix(): f for f in files}, fix)
    return Checkpoint(name, path, revision, hash_of(found), found, fix)


def _parts(path: Path) -> tuple[str, ...]:
    """The parts that a model has, or should have."""
    index = path / _INDEX
    listed = json.loads(index.read_text()) if index.is_file() else {}
    named = {part for part, kind in listed.items() if kind != [None, None]}  # as the index says that there is none
    there = {part for part in (_TRANSFORMER, *_SECOND, *_THIRD, *_OTHERS) if part in named or (path / part).is_dir()}
    denoiser = _TRANSFORMER if _TRANSFORMER in there else _UNET
    second = _SECOND if there & {_TRANSFORMER, *_SECOND} else ()
    third = _THIRD if there & {*_THIRD} else ()
    return (denoiser, *_PARTS, *second, *third, *(part for part in _OTHERS if part in there))


def _lacking(path: Path) -> list[str]:
    """What a model's folder lacks. Weights in any other format are not hashed, and so do not count."""
    lacking = []
    for part in _parts(path):
        suffixes = {file.suffix for file in _files(path / part)}
        if not suffixes:
            lacking.append(part)
        elif part.startswith(_WEIGHTED) and _WEIGHTS not in suffixes:
            lacking.append(f"{part}/*{_WEIGHTS}")
        elif part == _TRANSFORMER and not (path / part / _CONFIG).is_file():
            lacking.append(f"{part}/{_CONFIG}")
    return lacking


def _files(folder: Path) -> list[Path]:
    """What a part is loaded from."""
    return [f for f in folder.glob("*") if f.suffix in _SUFFIXES and not any(copy in f.name for copy in COPIES)]


def _cached(name: str, hub_id: str, revision: str | None, mirrors: Sequence[str]) -> Path:
    """The folder of a model in the hub's cache.

    Raises:
        Missing: it is not there.
    """
    wanted = published(name, hub_id, revision)
    folder = wanted.folder()
    if folder is None or _lacking(folder):  # broken off
        message = f"The model {name} is not on this machine, or not all of it ({wanted.facts})."
        fix = (
            "Get it with python -m bench.fetch and the same settings, or give its folder: model.source=/path/to/folder."
            + (f" {wanted.access}" if wanted.gated else "")
            + (f" Copies: {', '.join(f'model.source={mirror}' for mirror in mirrors)}." if mirrors else "")
        )
        raise Missing([wanted], message, fix)
    return folder


def published(name: str, hub_id: str, revision: str | None) -> Published:
    """A model of the hub as something to download: the parts that are used, without further copies of them."""
    every = (_UNET, _TRANSFORMER, *_PARTS, *_SECOND, *_THIRD, *_OTHERS)
    parts = tuple(f"{part}/*{suffix}" for part in every for suffix in _SUFFIXES)
    size, licence = MODELS.get(hub_id, (0.0, "see its page"))
    files = (_INDEX, *parts)
    return Published(f"The model {name}", hub_id, files, size, licence, revision, gated=hub_id in GATED)
