"""Reference pages that are made from the code, so that they cannot fall behind it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from bench.core.ranges import Range
from bench.core.registry import Registry, hints

COMMANDS = {
    "python -m bench": ("bench.__main__", "a run or a sweep"),
    "python -m bench.list": ("bench.list", "every registered method"),
    "python -m bench.check": ("bench.check", "does a method keep its contract?"),
    "python -m bench.status": ("bench.status", "what of a run is done, failed, missing"),
    "python -m bench.report": ("bench.report", "a run's tables again"),
    "python -m bench.stats": ("bench.stats.__main__", "what any table of scores can show"),
    "python -m bench.power": ("bench.power", "how many people a difference needs"),
    "python -m bench.paper": ("bench.paper", "a paper's claims beside what was measured"),
    "python -m bench.distribution": ("bench.distribution", "KID and Frechet distance of a run"),
    "python -m bench.store": ("bench.store.__main__", "sizes, checks and pruning of the store"),
    "python -m bench.fetch": ("bench.fetch", "published weights"),
    "python -m bench.cloak": ("bench.cloak", "cloak your own photos"),
    "python -m bench.export": ("bench.export", "pictures of a run, or crops for another tool"),
    "python -m bench.train_remover": ("bench.train_remover", "a network that takes cloaks off"),
    "python -m bench.data.prepare": ("bench.data.prepare", "data sets with names"),
    "python -m leaderboard": ("leaderboard.__main__", "submit, build, validate, verify, compare"),
}


def write(folder: Path) -> None:
    """Write the generated pages into a folder."""
    pages = {"commands": commands(), "settings": settings(), "methods": methods(), "record": record(), "api": api()}
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)


def commands() -> str:
    """Every command with its module's own text."""
    import importlib

    parts = ["# Commands", "`cloakbench <name>` is the same as `python -m bench.<name>`."]
    for command, (module, short) in COMMANDS.items():
        text = inspect.getdoc(importlib.import_module(module)) or ""
        parts.append(f"## {command}\n\n{short[0].upper()}{short[1:]}.\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """The settings of a run, from its types."""
    from bench.config.schema import MetricSettings, ModelSettings, Protocol, RunSettings, Suite

    parts = [
        "# Settings",
        "What `python -m bench` takes, as `key=value`. Groups (`defense`, `attack`, `data`, ...) are chosen by name, "
        "and their own settings follow a dot: see [Methods](methods.md).",
    ]
    models = {
        "": RunSettings,
        "model.": ModelSettings,
        "protocol.": Protocol,
        "metric.": MetricSettings,
        "suite.": Suite,
    }
    for prefix, model in models.items():
        title = f"`{prefix}*`" if prefix else "A run"
        parts.append(
            f"## {title}\n\n{_first_line(model)}\n\n"
            + _table(("setting", "type", "default", ""), _fields(model, prefix))
        )
    return "\n\n".join(parts) + "\n"


def methods() -> str:
    """Every registered method with its settings, and every metric."""
    from bench.list import REGISTRIES
    from metrics import METRICS

    parts = ["# Methods"]
    for kind, registry in REGISTRIES.items():
        if not isinstance(registry, Registry):  # metrics have no settings
            continue
        parts.append(f"## {kind.capitalize()}")
        for entry in registry.entries():
            cls = registry.get(entry.name)
            rows = [
                (f"`{registry.kind}.{f.name}`", f"`{_type(hints(cls)[f.name])}`", f"`{_default(f)}`")
                for f in dataclasses.fields(cls)
                if f.init
            ]
            paper = f" ({entry.paper})" if entry.paper else ""
            table = "\n\n" + _table(("setting", "type", "default"), rows) if rows else ""
            parts.append(f"### `{entry.name}`\n\n{_escaped(entry.description)}{paper}{table}")
    rows = [
        (f"`{name}`", m.topic, m.better, _escaped(m.definition), _escaped(m.pitfalls))
        for name, m in METRICS.all().items()
    ]
    parts.append("## Metrics\n\n" + _table(("metric", "about", "better", "what", "pitfalls"), rows))
    return "\n\n".join(parts) + "\n"


def record() -> str:
    """The record's schema."""
    from bench.results import record as records

    parts = ["# Record", "One strict-JSON file per cell, `<out>/cells/*.json`. " + _first_line(records.Record)]
    for model in (records.Record, records.DefenseFacts, records.MethodFacts, records.StageFacts, records.ImageFacts):
        parts.append(
            f"## {model.__name__}\n\n{_first_line(model)}\n\n"
            + _table(("field", "type", "default", ""), _fields(model, ""))
        )
    return "\n\n".join(parts) + "\n"


def api() -> str:
    """The interfaces for Python, by autodoc."""
    modules = {
        "cloakbench": "bench.api",
        "Defenses": "defenses",
        "Attacks": "attacks",
        "Countermeasures": "countermeasures",
        "Data sets": "bench.data",
        "Loggers": "bench.loggers",
        "Base models": "bench.models.diffusion.base",
        "Base models: what a denoiser is told": "bench.models.diffusion.condition",
        "Base models: photos and latents": "bench.models.diffusion.latents",
        "Base models: weights": "bench.models.diffusion.parts",
    }
    parts = ["# Python"]
    parts += [
        f"## {title}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```" for title, name in modules.items()
    ]
    return "\n\n".join(parts) + "\n"


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    described, declared = _described(model), get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        text = field.description or described.get(name, "")
        yield f"`{prefix}{name}`", f"`{_type(declared[name])}`", _escaped(default), _escaped(text)


def _described(model: type[BaseModel]) -> dict[str, str]:
    """The strings below a class's fields."""
    import ast
    import textwrap

    (cls,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(cls, ast.ClassDef)
    texts = {}
    for field, text in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = inspect.cleandoc(str(text.value.value))
    return texts


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


def _type(hint: Any) -> str:
    """An annotation in words, with the range of a number."""
    inner = get_args(hint)
    if get_origin(hint) is Annotated:
        return " ".join([_type(inner[0]), *(str(mark) for mark in inner[1:] if isinstance(mark, Range))])
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_type, inner))
    if get_origin(hint) in (tuple, list):
        return f"list of {_type(inner[0])}"
    name = str(hint) if inner else getattr(hint, "__name__", str(hint))
    return name.replace("typing.", "").replace("NoneType", "None")


def _first_line(cls: type[Any]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("\n", " ") for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
