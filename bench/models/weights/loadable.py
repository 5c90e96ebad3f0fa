"""Does a folder of weights load what its fingerprint is of? What would send a loader elsewhere is refused.

Fingerprints are of safetensors, of configurations, and of ONNX files. The libraries that load them take more: pickled
weights where they find no safetensors of the name that they look for, the base that an adapter's configuration names,
files that an index or an ONNX network points to.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from bench.core.errors import BenchError
from bench.models.weights.published import PACKS

STEMS = ("model", "diffusion_pytorch_model")
"""What transformers and diffusers call the weights of a part."""
SUFFIXES = (".bin", ".h5", ".msgpack")
PICKLED = ("pytorch_model", "diffusion_pytorch_model", "flax_model", "tf_model")
"""How the names begin of what they take if there is no such file."""
REDIRECT = "adapter_config.json"
"""With it in the folder, transformers loads the base that it names (peft's `base_model_name_or_path`)."""
INDEX = ".safetensors.index.json"
COMPANIONS = ("image_encoder", "ControlNetModel")
"""What lies below an adapter's folder."""


def refuse_unhashed(*folders: Path) -> None:
    """Refuse folders that weights are loaded from if something would be loaded that is not hashed.

    Raises:
        BenchError: names the file.
    """
    for folder in folders:
        names = {file.name for file in folder.glob("*")}
        if REDIRECT in names:
            raise _refused(folder / REDIRECT, "names another model that would be loaded in place of these files")
        pickled = sorted(name for name in names if name.startswith(PICKLED) and PurePath(name).suffix in SUFFIXES)
        if pickled and not any(f"{stem}{suffix}" in names for stem in STEMS for suffix in (".safetensors", INDEX)):
            raise _refused(folder / pickled[0], "would be loaded, and is in a format that is not hashed")
        for name in sorted(name for name in names if name.endswith(INDEX)):
            _refuse_index(folder / name, names)
        for name in sorted(name for name in names if name.endswith(".onnx")):
            refuse_external(folder / name)


def refuse_settings(settings: Any) -> None:
    """The same of all folders, files and packs that settings name, with what lies beside and below them.

    Raises:
        BenchError: names the file.
    """
    for text in _texts(settings):
        place = (PACKS[text].folder() or Path()) if text in PACKS else Path(text).expanduser()
        with contextlib.suppress(OSError):  # a text may be no path at all
            if place.suffix in (".safetensors", ".bin") and place.is_file():
                place = place.parent
            if text and text != "." and place.is_dir():
                networks = {file.parent for file in place.glob("*/*.onnx")}
                refuse_unhashed(place, *(place / name for name in COMPANIONS), *sorted(networks))


def refuse_external(file: Path) -> None:
    """Refuse an ONNX network whose weights are in other files.

    Raises:
        BenchError: it has such weights, or is no ONNX network.
    """
    facts = file.stat()
    if _has_external(file, facts.st_mtime_ns, facts.st_size):
        raise _refused(file, "keeps weights in other files, which are not hashed", "Save it as one file.")


def _texts(settings: Any) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, Mapping):
        for each in settings.values():
            yield from _texts(each)
    elif isinstance(settings, list | tuple):
        for each in settings:
            yield from _texts(each)


@cache
def _has_external(file: Path, mtime_ns: int, size: int) -> bool:
    """Once per process, unless the file changes."""
    del mtime_ns, size
    import onnx

    try:
        model = onnx.load(str(file), load_external_data=False)
    except Exception as error:  # of protobuf, whose types differ by version
        raise BenchError(f"{file} is no ONNX network ({type(error).__name__}).", "Unpack it again.") from error
    return any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in _tensors(model))


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of a network, wherever it is: of graphs, of functions, and of graphs in nodes."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if hasattr(value, "add") else (value,):
                yield from _tensors(each)


def _refuse_index(file: Path, names: set[str]) -> None:
    """An index may name files of its own folder alone, and no pickles."""
    single = file.name.removesuffix(".index.json")
    if single in names:
        raise _refused(file, f"would be read in place of {single}")
    try:
        parts = set(json.loads(file.read_text())["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _refused(file, "is no index of weights") from error
    for part in sorted(map(str, parts)):
        if part not in names or not part.endswith(".safetensors"):
            raise _refused(file, f"names {part!r}, which is no safetensors file beside it")


def _refused(file: Path, why: str, fix: str = "Remove it, or give a folder with safetensors alone.") -> BenchError:
    return BenchError(f"{file} {why}: a result would not say what made it.", fix)
