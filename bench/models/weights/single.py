"""A network by itself, in diffusers' format, which is no whole base: an autoencoder, a prior. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.models.weights.checkpoint import COPIES, Checkpoint
from bench.models.weights.files import hashes
from bench.models.weights.loadable import refuse_unhashed
from bench.models.weights.published import MODELS, Missing, Published

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SUFFIXES = (".json", ".safetensors")


def locate_network(name: str, source: str, setting: str, shipped: Path | None = None) -> Checkpoint:
    """Find and verify a network.

    Args:
        name: of the network.
        source: a folder with config.json and safetensors, a hub id with these at its top, or "zoo".
        setting: that names it, for messages.
        shipped: its folder in the package, which "zoo" stands for; None if there is none.

    Raises:
        BenchError: no such folder, or a file is missing, empty or damaged; `Missing` for a hub id that is not here.
    """
    if source == "zoo" and shipped is not None:
        return _verified(name, shipped, "local", "Reinstall cloakbench to get the file back.")
    local = Path(source).expanduser()
    if local.is_dir():
        return _verified(name, local, "local", f"Copy the files to {source} again.")
    if source.startswith((".", "/", "~")):
        raise BenchError(f"{setting}={source}: there is no such folder.", "Give a folder, a hub id, or zoo.")
    size, licence = MODELS.get(source, (0.0, "see its page"))
    wanted = Published(f"{setting}={source}", source, (CONFIG, WEIGHTS, "*.json"), size, licence)
    folder = wanted.folder()
    if folder is None:
        raise Missing([wanted])
    return _verified(name, folder, folder.name, f"Delete {folder} and fetch it again.")


def _verified(name: str, folder: Path, revision: str, fix: str) -> Checkpoint:
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise BenchError(f"The folder {folder} lacks {file}.", fix)
    refuse_unhashed(folder)
    files = {
        f.name: f for f in sorted(folder.iterdir()) if f.suffix in SUFFIXES and not any(c in f.name for c in COPIES)
    }
    found = hashes(files, fix)
    return Checkpoint(name, folder, revision, hash_of(found), found, fix)
