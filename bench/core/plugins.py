"""Plug-ins: files (`my_cloak.py`) or modules (`my_package.cloaks`) with methods of one's own, imported by name.

A file may import what lies beside it, as if it were run alone: `import helper`, or `from .helper import ...`. What is
installed, and the project, go before it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, reason_of, unknown_name
from bench.core.hashing import hash_of
from bench.core.imports import PACKAGES
from bench.core.paths import expanded

PREFIX = "cloakbench_plugin_"
"""Of the packages that stand for folders with plug-in files."""


def import_plugins(sources: Iterable[str]) -> None:
    """Import plug-in files or modules, once each.

    Raises:
        BenchError: a file or module that is not there or does not import.
    """
    for source in sources:
        try:
            with _staying():
                _import(source)
        except BenchError:
            raise
        except (Exception, SystemExit) as error:  # the user's own code: any error in it is the message they need
            raise BenchError(
                f"The plug-in {source} does not import: {told(error, _file(source))}", _advice(source, error)
            ) from error


def loaded_class(source: str, name: str) -> Any:
    """An attribute of a plug-in file or module that `import_plugins` has imported.

    Raises:
        BenchError: it has no such attribute.
    """
    module = sys.modules[_module_name(source)]
    if not hasattr(module, name):
        raise unknown_name("class", name, [key for key, value in vars(module).items() if isinstance(value, type)])
    return getattr(module, name)


def told(error: BaseException, file: Path | None = None) -> str:
    """What went wrong in somebody's code, in a line: the error, and where in its folder, or else at all, it arose."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    what = reason_of(error)
    if isinstance(error, SystemExit):
        what = f"it leaves the program (sys.exit({error.code!r}))"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _ours(frame.filename)]
    own = [frame for frame in frames if file and Path(frame.filename).parent == file.parent]
    return f"{what} ({(own or frames)[-1].filename}:{(own or frames)[-1].lineno})" if frames else what


def _ours(filename: str) -> bool:
    """Whether a file only imports what others wrote."""
    return filename == __file__ or "importlib" in filename


def _advice(source: str, error: BaseException) -> str:
    """How to mend a plug-in that does not import."""
    file, missing = _file(source), (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, SystemExit):
        return 'Put what is for running it alone under: if __name__ == "__main__":'
    if file and isinstance(error, ImportError) and (helper := file.with_name(f"{missing}.py")).is_file():
        hiding = getattr(sys.modules.get(missing), "__file__", None) or missing
        return f"{helper} is hidden by {hiding}, which has the same name: rename it."
    if file is None and Path(f"{source}.py").is_file() and missing in ("", *source.split(".")):
        return f"Did you mean the file {source}.py?"
    return f"Try it alone: python {shlex.quote(source)}" if file else f"Try: python -c 'import {source}'"


def _file(source: str) -> Path | None:
    """The file that a source names; None for a module."""
    return expanded(source).resolve() if source.endswith(".py") else None


def _module_name(source: str) -> str:
    """Module name of a source; files of the same name in different folders are different modules."""
    file = _file(source)
    return f"{_package(file.parent)}.{file.stem}" if file else source


def _package(folder: Path) -> str:
    return f"{PREFIX}{hash_of(str(folder))[:8]}"


def _import(source: str) -> None:
    file = _file(source)
    if file is None:
        _import_module(source)
        return
    if not file.is_file():
        raise BenchError(f"The plug-in file {source} does not exist.", f"Looked for {file}.")
    name = _module_name(source)
    if name in sys.modules:
        return
    _add(str(file.parent))
    _check_helpers(file)
    _stand_for(file.parent)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None  # a .py file always has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import_module(name: str) -> None:
    if name in PACKAGES and Path(f"{name}.py").is_file():
        raise BenchError(f"{name} is a package of CloakBench.", f"Give the file: plugins=[{name}.py]")
    if Path(name).is_dir() and not Path(name, "__init__.py").is_file():
        raise BenchError(f"The plug-in {name} is a folder.", f"Give its files: plugins=[{name}/my_cloak.py]")
    _add(str(Path.cwd()))
    importlib.import_module(name)


def _add(folder: str) -> None:
    """Imports look in a folder, last of all."""
    if folder not in sys.path:
        sys.path.append(folder)


def _stand_for(folder: Path) -> None:
    """A package for the folder, for imports such as `from .helper import ...`."""
    spec = ModuleSpec(_package(folder), None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))


def _check_helpers(file: Path) -> None:
    """Raises BenchError if a file imports one beside it that an installed one, or another plug-in's, would replace."""
    for name in _imported(file) - {"bench", *PACKAGES, *sys.stdlib_module_names}:
        helper = next((path for path in (file.with_name(f"{name}.py"), file.with_name(name)) if path.exists()), None)
        spec = importlib.util.find_spec(name) if helper else None
        places = (
            [Path(place) for place in (spec.origin, *(spec.submodule_search_locations or ())) if place] if spec else []
        )
        if places and helper not in places and helper not in places[0].parents:
            raise BenchError(
                f"{helper} is hidden from the plug-in {file.name} by {places[0]}, which has the same name.",
                f"Rename it, or write: from .{name} import ...",
            )


def _imported(file: Path) -> set[str]:
    """The top-level names that a file imports."""
    nodes = list(ast.walk(ast.parse(file.read_bytes(), file)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names}


@contextlib.contextmanager
def _staying() -> Iterator[None]:
    """Inside, `os._exit` is like `sys.exit`, so that a word can be said."""
    leave = os._exit
    os._exit = sys.exit  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = leave
