"""Methods and bases written short: a name, or a name and what differs, as the settings' types take it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from bench.core.errors import BenchError, unknown_name


def method_of(value: Any) -> Any:
    """`{name: ..., <settings>}` or just a name, as `Method` takes it."""
    if not isinstance(value, Mapping):
        return {"name": value}
    return {"name": value.get("name"), "settings": {k: v for k, v in value.items() if k != "name"}}


def defense_of(value: Any) -> Any:
    """A defense of a suite, as `DefenseSpec` takes it."""
    made = method_of(value)
    settings = dict(made.get("settings", {}))
    return made if "budget" not in settings else made | {"budget": settings.pop("budget"), "settings": settings}


def model_of(value: Any) -> Any:
    """A base, as `ModelSettings` takes it: what is not said of one that is shipped, its file under conf/model says."""
    said = dict(value) if isinstance(value, Mapping) else {"name": value}
    shipped = {file.name.removesuffix(".yaml"): file for file in files("conf").joinpath("model").iterdir()}
    if said.get("name") not in shipped:
        if said.keys() == {"name"}:
            raise unknown_name("model", str(said["name"]), shipped)
        return said
    full = OmegaConf.merge(OmegaConf.create(shipped[said["name"]].read_text()), said)
    missing = sorted(OmegaConf.missing_keys(full))
    if missing:
        raise BenchError(f"Model {said['name']!r} has no {missing[0]}.", f"Write {{name: ..., {missing[0]}: ...}}.")
    return OmegaConf.to_container(full)
