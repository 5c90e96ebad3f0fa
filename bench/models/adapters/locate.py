"""Where adapters are (IP-Adapter, PhotoMaker, InstantID) and what their files hash to; locating needs no torch.

The files have the layout and the names of the official releases:

    ip-adapter/           ip-adapter.safetensors   image_encoder/{config.json,model.safetensors}
    ip-adapter-faceid/    ip-adapter-faceid.safetensors
    photomaker/           photomaker.safetensors   config.json (of its vision tower, a `CLIPVisionConfig`; the official
                                                   files have none, and CLIP ViT-L/14)
    instantid/            ip-adapter.safetensors   ControlNetModel/{config.json,diffusion_pytorch_model.safetensors}
    ip-adapter-sd3/       ip-adapter.safetensors   image_encoder/{config.json,model.safetensors} (SigLIP)
    ip-adapter-flux/      ip_adapter.safetensors   image_encoder/{config.json,model.safetensors}

The other IP-Adapters have the image encoder of the first, or one that lies elsewhere: the official releases share one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError, unknown_name
from bench.core.hashing import hash_of
from bench.models.weights.files import ZOO, hashes
from bench.models.weights.published import ADAPTERS, Missing, PublishedAdapter

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_ENCODER = ("image_encoder/config.json", "image_encoder/model.safetensors")
COMPANIONS = {
    "ip-adapter": IMAGE_ENCODER,
    "ip-adapter-plus": IMAGE_ENCODER,
    "ip-adapter-plus-face": IMAGE_ENCODER,
    "ip-adapter-full-face": IMAGE_ENCODER,
    "ip-adapter-faceid": (),
    "ip-adapter-faceid-plus": IMAGE_ENCODER,
    "ip-adapter-faceid-plusv2": IMAGE_ENCODER,
    "ip-adapter-sd3": IMAGE_ENCODER,
    "ip-adapter-flux": IMAGE_ENCODER,
    "photomaker": (),
    "instantid": ("ControlNetModel/config.json", "ControlNetModel/diffusion_pytorch_model.safetensors"),
}
"""What lies beside the main file."""
OPTIONAL = {"photomaker": ("config.json",)}
"""What counts if it lies there."""
STEMS = {"instantid": "ip-adapter", "ip-adapter-sd3": "ip-adapter", "ip-adapter-flux": "ip_adapter"}
"""Name of the main file where it is not the adapter's own."""
SUFFIXES = (".safetensors", ".bin")


@dataclass(frozen=True)
class Adapter:
    """Verified files of one adapter.

    Attributes:
        name: which adapter ("ip-adapter").
        weights: the main file.
        fingerprint: hash of all its files; where they lie and how the main file is called does not count.
        image_encoder: folder of the vision tower, for the IP-Adapters that have one.
    """

    name: str
    weights: Path
    fingerprint: str
    image_encoder: Path

    @property
    def folder(self) -> Path:
        """Where the companions of the main file are."""
        return self.weights.parent

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The main file as group -> name -> tensor, such as `image_proj` -> `proj.weight`.

        Both official forms are read: safetensors with the group as prefix, and a pickle (.bin) of nested dictionaries,
        which is loaded without running any code in it.
        """
        if self.weights.suffix == ".safetensors":
            return read_groups(self.weights)

        import torch

        nested: dict[str, dict[str, Tensor]] = torch.load(self.weights, map_location="cpu", weights_only=True)
        return nested


def read_groups(file: Path) -> dict[str, dict[str, Tensor]]:
    """A safetensors file whose keys begin with their group, as group -> name -> tensor."""
    from safetensors.torch import load_file

    groups: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in load_file(file).items():
        group, _, name = key.partition(".")
        groups[group][name] = value
    return dict(groups)


def locate_adapter(
    name: str,
    source: str | None,
    base_name: str,
    setting: str = "attack.weights",
    image_encoder: str | None = None,
) -> Adapter:
    """Find and verify the files of an adapter.

    Args:
        name: a key of `COMPANIONS`, such as "ip-adapter".
        source: "zoo" for one that comes with the package; the name of a base for which weights are published (such as
            "sd15"); a local folder or main file, with its companions beside it; or None for those of the base itself.
        base_name: name of the base model it is for ("facelet-1").
        setting: where `source` comes from, for messages.
        image_encoder: folder of the CLIP vision tower; None is "image_encoder" beside the main file.

    Raises:
        BenchError: unknown adapter, no source, or a file is missing or empty; `Missing` for published ones.
    """
    if name not in COMPANIONS:
        raise unknown_name("adapter", name, COMPANIONS)
    stem = STEMS.get(name, name)
    wanted = ", ".join([f"{stem}.safetensors", *COMPANIONS[name]])
    source = source or base_name
    if (name, source) in ADAPTERS:
        weights, beside = _published(ADAPTERS[name, source], image_encoder)
    elif source == base_name:
        made_for = [base for adapter, base in ADAPTERS if adapter == name]
        raise BenchError(
            f"No {name} weights come with the base model {base_name}, and none are published for it.",
            f"Pass {setting}=<folder with {wanted}> in the official layout"
            + (f", or the base whose weights fit: {', '.join(made_for)}." if made_for else "."),
        )
    else:
        weights = _main_file(name, source, base_name, f"It should hold {wanted}; or pass {setting}=<path>.")
        beside = weights.parent / "image_encoder"
    encoder = Path(image_encoder).expanduser() if image_encoder else beside
    files = {"weights": weights}
    for companion in COMPANIONS[name]:
        files[companion] = encoder / Path(companion).name if companion in IMAGE_ENCODER else weights.parent / companion
    for companion in OPTIONAL.get(name, ()):
        if (weights.parent / companion).is_file():
            files[companion] = weights.parent / companion
    fix = "Reinstall cloakbench to get it back." if source == "zoo" else f"Put {wanted} into {weights.parent}."
    if image_encoder:
        fix = "Give the folder of the vision tower: config.json and model.safetensors."
    return Adapter(name, weights, hash_of(hashes(files, fix)), encoder)


def _published(adapter: PublishedAdapter, image_encoder: str | None) -> tuple[Path, Path]:
    """Main file and folder of the image encoder, of published weights in the hub's cache."""
    wanted = [adapter.files, *([adapter.encoder] if adapter.encoder and not image_encoder else [])]
    folders = [item.folder() for item in wanted]
    missing = [item for item, folder in zip(wanted, folders, strict=True) if folder is None]
    if missing:
        raise Missing(missing)
    weights = (folders[0] or Path()) / adapter.main
    return weights, (folders[-1] or Path()) / adapter.encoder_folder if adapter.encoder else weights.parent


def _main_file(name: str, source: str, base_name: str, fix: str) -> Path:
    path = ZOO / "adapters" / base_name / name if source == "zoo" else Path(source).expanduser()
    if path.is_file():
        return path
    candidates = [path / f"{STEMS.get(name, name)}{suffix}" for suffix in SUFFIXES]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if not found:
        place = "this version" if source == "zoo" else str(path)  # stands in records, where nobody's folders belong
        raise BenchError(f"There are no {name} weights for {base_name} in {place}.", fix)
    return found[0]


def load_ip_adapter(pipeline: Any, source: dict[str, dict[str, Tensor]] | Path) -> None:
    """Load an IP-Adapter that reads embeddings and not pictures, with the stock loader.

    Args:
        pipeline: a diffusers pipeline.
        source: the adapter's tensors, as `Adapter.tensors` gives them, or the file, if the loader shall rename what is
            in it.
    """
    import diffusers.utils.logging

    diffusers.utils.logging.set_verbosity_error()  # a warning that pictures cannot be used: none will be
    given, name = (str(source), source.name) if isinstance(source, Path) else (source, "")
    no_encoder = dict.fromkeys(("image_encoder_folder", "image_encoder_pretrained_model_name_or_path"))
    # With low_cpu_mem_usage, a file that lacks tensors would load silently and leave them without values.
    pipeline.load_ip_adapter(given, subfolder="", weight_name=name, low_cpu_mem_usage=False, **no_encoder)
