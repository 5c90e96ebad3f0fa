"""What a cloak was made against: the attack's own base, recogniser and image encoder, or others.

A cloak that had seen what the attack reads faces with is judged under the best of circumstances; against one that it
had not seen, it must transfer. Everything is read from the settings in a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.results.record import Record

PARTS = ("base", "recogniser", "image encoder")
"""What an attack may read photos with."""
UNKNOWN = ("precomputed",)
"""Defenses whose cloaks were made elsewhere, by means that no record states."""
TOWERS = {"sdxl base": "ViT-bigG/14", "sdxl": "ViT-H/14", "sd15": "ViT-H/14"}
TOWERS |= {"flux": "ViT-L/14", "sd35-large": "SigLIP so400m/14"}
"""Published IP-Adapters, by base, and by variant where that makes a difference -> their image encoder."""


def seen(record: Record) -> dict[str, bool | None]:
    """Part of the attack -> whether the cloak was made against the very same, by name.

    A part that the attack does not use is not there. None where the record does not say.
    """
    own = {"base": record.base} | _reads(record)
    if record.defense.name in UNKNOWN:
        return dict.fromkeys(own)
    against = _made_against(record)
    return {part: what in against[part] for part, what in own.items()}


def seen_text(records: Sequence[Record]) -> str:
    """The same of several records of one row, in words: "base, recogniser; not image encoder".

    A part counts as seen if it is in all of them.
    """
    found = [seen(record) for record in records]
    parts = [part for part in PARTS if any(part in each for each in found)]
    if any(value is None for each in found for value in each.values()):
        return "not known"
    same = [part for part in parts if all(each.get(part, True) for each in found)]
    other = [part for part in parts if part not in same]
    return "; ".join([*([", ".join(same)] if same else []), *([f"not {', '.join(other)}"] if other else [])])


def _reads(record: Record) -> dict[str, str]:
    """What an attack reads photos with beside its base: fine-tuning nothing, adapters a recogniser or a tower."""
    name, config = record.attack.name, record.attack.config
    recogniser, weights = config.get("recogniser"), config.get("weights") or record.base
    if name == "instantid":
        return {"recogniser": str(recogniser)}
    if name == "photomaker":  # a tower of its own, in its weights
        return ({"recogniser": str(recogniser)} if recogniser else {}) | {"image encoder": f"photomaker {weights}"}
    if name == "ip_adapter":
        variant = str(config.get("variant", "base"))
        reads = {"recogniser": str(recogniser)} if variant.startswith("faceid") else {}
        return reads if variant == "faceid" else reads | {"image encoder": _tower(config, str(weights), variant)}
    return {}


def _tower(config: dict[str, Any], weights: str, variant: str) -> str:
    """An IP-Adapter's image encoder: the one that is set, or that of its weights."""
    return str(config.get("image_encoder") or TOWERS.get(f"{weights} {variant}") or TOWERS.get(weights) or weights)


def _listed(config: dict[str, Any], name: str) -> list[str]:
    """What a setting lists; nothing where it is no list, as a stranger's record may have it."""
    value = config.get(name)
    return list(map(str, value)) if isinstance(value, list | tuple) else []


def _made_against(record: Record) -> dict[str, set[str]]:
    """What a defense looked at, by part of an attack."""
    config = record.defense.config
    towers = {_tower({}, source, "base") for source in _listed(config, "image_encoders")}
    towers |= {f"photomaker {config['photomaker']}"} if config.get("photomaker") else set()
    if config.get("adapter"):
        towers.add(_tower({}, str(config["adapter"]), "plus-face" if config.get("plus_face") else "base"))
    return {
        "base": set() if config.get("layers") == [2] else set(record.surrogates),  # DLADiff without its first layer
        "recogniser": set(_listed(config, "recognisers")),
        "image encoder": towers,
    }
