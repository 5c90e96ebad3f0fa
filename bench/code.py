"""The code version of a stage: a hash of the sources that can change its output.

Caches keyed by hand-kept version numbers go stale when somebody forgets. Here the key follows the imports: the module
itself and every module of this project it imports, directly or not. Comments, docstrings and formatting do not count.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from functools import cache
from pathlib import Path
from typing import Any

from bench.hashing import hash_of

PROJECT = ("bench", "defenses", "attacks", "countermeasures", "metrics")

HARMLESS = frozenset(
    {"bench.errors", "bench.registry", "bench.store", "bench.meter", "bench.code", "bench.hashing", "bench.types"}
    | {"bench.settings", "bench.models.published"}  # what they say of a cell, and its weights' hashes, are in the keys
)
"""Plumbing that cannot change a stage's numbers; kept out so that a better error message does not cost a re-run."""


def code_version(cls: type[Any]) -> str:
    """Hash of a plug-in's source and of all project code it imports; nothing is imported to find out."""
    return _version(cls.__module__, inspect.getsourcefile(cls) or "")


@cache
def module_version(name: str) -> str:
    """The same for a module of the project, by name."""
    return _version(name, str(_source(name)))


@cache
def _version(module: str, file: str) -> str:
    seen: dict[str, str] = {}
    queue = [(module, Path(file))]
    while queue:
        name, path = queue.pop()
        if name in seen:
            continue
        tree = ast.parse(path.read_text())
        seen[name] = ast.dump(_without_docstrings(tree))
        queue += [(found, source) for found in _imports(tree) if (source := _source(found)) and found not in HARMLESS]
    return hash_of(seen)


def _imports(tree: ast.Module) -> list[str]:
    """Names of project modules that a source imports anywhere, including inside functions."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] in PROJECT]


@cache
def _source(name: str) -> Path | None:
    """The file of a project module, or None when the name is not a module (a class, say)."""
    package, *rest = name.split(".")
    spec = importlib.util.find_spec(package)  # a top-level name: finding it imports nothing
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root, *rest)
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return tree
