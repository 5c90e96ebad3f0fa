"""The code version of a stage: a hash of the sources that can change its output.

Caches keyed by hand-kept version numbers go stale when somebody forgets. Here the key follows the imports: the module
itself and every module of this project it imports, directly or not. What counts of a module are its statements, each
with what the names in it stand for. Where a statement lives does not count, nor how it is imported: moving code costs
nobody a store. Comments, docstrings and formatting do not count either.

Of a plug-in, its own package counts too, or the files beside it that it imports; other installed packages do not.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.plugins import PREFIX

PROJECT = ("bench", "defenses", "attacks", "countermeasures", "metrics")

HARMLESS = frozenset(
    {
        "bench.core.errors",
        "bench.core.registry",
        "bench.store",
        "bench.core.meter",
        "bench.core.code_version",
        "bench.core.hashing",
        "bench.core.types",
    }
    | {
        "bench.config.schema",
        "bench.models.weights.published",
    }  # what they say of a cell, and its weights' hashes, are in the keys
    | {"bench.core.ranges", "bench.config.prompts"}  # so are the settings that these check
    | {"metrics", "metrics.metric"}  # what metrics declare; the code that measures is in its own module
    | {"attacks.builtin", "defenses.builtin", "countermeasures.builtin"}  # what else there is changes nobody's results
)
"""Plumbing that cannot change a stage's numbers; kept out so that a better error message does not cost a re-run."""

DEFERRED = {
    f"bench.core.deferred.{name}": meant
    for name, meant in (("torch", "torch"), ("functional", "torch.nn.functional"), ("Tensor", "torch.Tensor"))
}
"""Imported from there -> what it stands for."""

CODE = "code"
"""Under this name `files()` of a method that runs another one, which a setting names, gives the version of its code.

A stage's key has it, as it has that of the method itself; a cell's id has neither.
"""


def code_version(plugin: type[Any] | Callable[..., Any]) -> str:
    """Hash of a plug-in's source, a class's or a function's, and of all its own and the project's code it imports.

    Nothing is imported to find out.

    Raises:
        BenchError: its source is in no file.
    """
    try:
        return _version(plugin.__module__, inspect.getsourcefile(plugin) or "")
    except (OSError, TypeError):
        raise BenchError(
            f"{getattr(plugin, '__name__', plugin)} is in no file, so nobody could tell when its code changes.",
            "Put it into a file of its own: plugins=[my_cloak.py]",
        ) from None


@cache
def module_version(name: str) -> str:
    """The same for a module of the project, by name."""
    return _version(name, str(_source(name)))


@cache
def source_version(name: str) -> str:
    """Hash of the same modules' files as they are written: comments count, and every Python has the same.

    What comes with the package is held to this; keys, which differ from one Python to another, it could not have.
    """
    return hash_of(sorted(module.source.decode().splitlines() for module in _reached(name, str(_source(name)))))


def forget() -> None:
    """Read the sources anew: for tests that change them."""
    for cached in (module_version, source_version, _version, _source, _module, _beside):
        cached.cache_clear()


@cache
def _version(module: str, file: str) -> str:
    return hash_of(sorted({part for current in _reached(module, file) for part in current.parts}))


def _reached(module: str, file: str) -> list[Module]:
    """A module and all that it imports, directly or not, which can change its output."""
    reached: dict[str, Module] = {}
    queue = [_module(module, Path(file), _home(module, Path(file)))]
    while queue:
        current = queue.pop()
        if current.name not in reached:
            reached[current.name] = current
            queue += [each for name in current.imported() if name not in HARMLESS and (each := current.named(name))]
    return list(reached.values())


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


def _home(module: str, file: Path) -> Path | None:
    """The folder that a plug-in's own modules are in; None for a module of the project."""
    if module.partition(".")[0] in PROJECT:
        return None
    if module.startswith(PREFIX):
        return file.parent
    return file.parents[module.count(".") + (file.stem == "__init__")]


@cache
def _beside(home: Path, name: str) -> Module | None:
    """A plug-in's own module by its dotted name, if that is one."""
    path = home.joinpath(*name.split("."))
    file = next((file for file in (path / "__init__.py", path.with_suffix(".py")) if name and file.is_file()), None)
    return _module(name, file, home) if file else None


@cache
def _module(name: str, file: Path, home: Path | None = None) -> Module:
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    if name.startswith(PREFIX):
        package = ""
    return Module(name, file.read_bytes(), home, package)


def _named(name: str) -> Module | None:
    """A module of the project by its dotted name; None for anything else."""
    file = _source(name) if name.partition(".")[0] in PROJECT else None
    return _module(name, file) if file else None


@dataclass(frozen=True, eq=False)
class Module:
    """A source file, read but not imported."""

    name: str
    source: bytes
    home: Path | None
    """Where the plug-in's own modules are that it belongs to; None for one of the project."""
    package: str
    """That relative imports start from."""

    def named(self, name: str) -> Module | None:
        """A module of the project or of the same plug-in by its dotted name; None for anything else."""
        first = name.partition(".")[0]
        installed = self.home is not None and self.home.name in ("site-packages", "dist-packages")
        if self.home is None or first in PROJECT or (installed and first != self.name.partition(".")[0]):
            return _named(name)
        return _beside(self.home, name)

    def imported(self) -> list[str]:
        """Dotted names that it imports anywhere, including inside functions; some are no modules."""
        return [name for target in self._imports.values() for name in (target, target.rpartition(".")[0]) if name]

    @cached_property
    def tree(self) -> ast.Module:
        """What is written there."""
        return ast.parse(self.source)

    @cached_property
    def parts(self) -> list[str]:
        """A hash of each statement, and of what the names in it stand for."""
        return [
            hash_of([self._text(statement), self._meanings(statement)])
            for statement in self.tree.body
            if not isinstance(statement, ast.Import | ast.ImportFrom) and self._text(statement)
        ]

    @cached_property
    def _imports(self) -> dict[str, str]:
        """Name in this file -> the dotted name of what was imported under it."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    names[alias.asname or alias.name] = alias.name
            elif isinstance(node, ast.ImportFrom):
                place = ".".join(filter(None, (self._above(node.level), node.module)))
                names |= {alias.asname or alias.name: f"{place}.{alias.name}".strip(".") for alias in node.names}
        return {name: DEFERRED.get(target, target) for name, target in names.items()}

    def _above(self, level: int) -> str:
        """The package that a relative import of so many dots starts from."""
        parts = self.package.split(".")
        return ".".join(parts[: len(parts) + 1 - level]) if level else ""

    @cached_property
    def _definitions(self) -> dict[str, ast.stmt]:
        """Name -> the statement of the module that defines it."""
        names: dict[str, ast.stmt] = {}
        for statement in self.tree.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names[statement.name] = statement
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names[node.id] = statement
        return names

    def _text(self, statement: ast.stmt) -> str:
        """The statement without docstrings and imports; `module.name` is `name`, whatever the module is called."""
        if statement not in self._texts:
            plain = _Plain(self).visit(self._copies[statement])
            self._texts[statement] = ast.dump(plain) if plain else ""
        return self._texts[statement]

    @cached_property
    def _texts(self) -> dict[ast.stmt, str]:
        return {}

    @cached_property
    def _copies(self) -> dict[ast.stmt, ast.stmt]:
        """Each statement once more, to be changed: parsing again takes a fraction of `copy.deepcopy`."""
        return dict(zip(self.tree.body, ast.parse(self.source).body, strict=True))

    def _meanings(self, statement: ast.stmt) -> dict[str, str]:
        """What the global names in a statement stand for: the text of a definition, or a dotted name outside."""
        meanings = {}
        for node in ast.walk(statement):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                name = node.id if isinstance(node, ast.Name) else node.attr
                if (meaning := self._meaning(node)) is not None:
                    meanings[name] = meaning
        return meanings

    def _meaning(self, node: ast.Name | ast.Attribute) -> str | None:
        if isinstance(node, ast.Name):
            return self._definition(node.id, frozenset())
        module = self.module_of(node.value)
        return module._definition(node.attr, frozenset()) if module else None

    def _definition(self, name: str, asked: frozenset[str]) -> str | None:
        """The text that defines a name here, or where it was imported from; None for a module, or for no such name."""
        if self.name in HARMLESS:
            return None
        if name in self._definitions:
            return hash_of(self._text(self._definitions[name]))
        target = self._imports.get(name)
        if target is None or self.name in asked or self.named(target):
            return None
        place, _, original = target.rpartition(".")
        module = self.named(place)
        return module._definition(original, asked | {self.name}) if module else target

    def module_of(self, node: ast.expr) -> Module | None:
        """The project module that an expression names, if it does."""
        if isinstance(node, ast.Name):
            return self.named(self._imports.get(node.id, ""))
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            parent = self.module_of(node.value)
            return self.named(f"{parent.name}.{node.attr}" if parent else self._imports.get(whole, ""))
        return None


class _Plain(ast.NodeTransformer):
    """Takes from a statement what does not count."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def visit_Import(self, node: ast.Import) -> None:
        """Imports count by what their names stand for."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Likewise."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if self._module.module_of(node.value):
            return ast.Name(node.attr, node.ctx)
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        if isinstance(node.value, ast.Constant):  # a docstring, or a constant's description below it
            return None
        self.generic_visit(node)
        return node
