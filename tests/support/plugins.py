"""Plug-ins that a test imports are gone after it."""

from __future__ import annotations

import sys

import pytest

from bench.list import REGISTRIES

IMPORTED = "cloakbench_plugin_"


def forget_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends, files are imported anew; then registries and modules are as before."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    for module in [name for name in sys.modules if name.startswith(IMPORTED)]:
        monkeypatch.delitem(sys.modules, module)
