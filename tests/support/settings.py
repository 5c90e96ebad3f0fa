"""Configurations from command-line overrides."""

from __future__ import annotations

from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from bench.config.parsing import parse
from bench.config.schema import RunSettings


def composed(*words: str) -> Any:
    """What Hydra makes of a command line, as plain values."""
    with initialize_config_module("conf", version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(words)), resolve=True, throw_on_missing=True)


def parsed(*words: str) -> RunSettings:
    return parse(composed(*words))
