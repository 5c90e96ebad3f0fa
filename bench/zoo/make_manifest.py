"""Write `bench/zoo/manifest.json`: the published SHA-256 of every shipped weight and configuration file.

Run `python -m bench.zoo.make_manifest` after changing any of them; `bench.models.weights.checkpoint`
verifies against it.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.hashing import sha256_file
from bench.models.weights.files import ZOO

MODELS = ("facelet-1", "facelet-2")
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
SUFFIXES = (".safetensors", ".json", ".txt")
OTHERS = (
    "judge/*.npy",
    "judges/*.onnx",
    "judges/*.npy",
    "judges/*.safetensors",
    "faces/*.json",
    "faces/*/*.parquet",
    "faces/*/*.safetensors",
    "recognisers/*/*.onnx",
    "adapters/**/*.safetensors",
    "adapters/**/*.json",
    "countermeasures/*/*.safetensors",
    "countermeasures/*/*.json",
)


def main() -> None:
    """Hash the files of all models and packs, and the judge's background where it exists already."""
    hashes = {file.relative_to(ZOO).as_posix(): sha256_file(file) for file in shipped_files()}
    (ZOO / "manifest.json").write_text(json.dumps(hashes, indent=2) + "\n")
    print(f"{len(hashes)} files, {size(shipped_files()) / 1e6:.1f} MB")


def size(files: list[Path]) -> int:
    """Bytes of the files; one that is there twice counts once, as Git keeps it."""
    return sum({sha256_file(file): file.stat().st_size for file in files}.values())


def shipped_files() -> list[Path]:
    """The files the benchmark reads, sorted by path."""
    folders = [ZOO / model / part for model in MODELS for part in PARTS]
    files = [file for folder in folders for file in folder.iterdir() if file.suffix in SUFFIXES]
    return sorted(files + [file for pattern in OTHERS for file in ZOO.glob(pattern)])


if __name__ == "__main__":
    main()
