"""One registry for every kind of plug-in: defenses, attacks, countermeasures, data sets, loggers, metrics.

A name comes from one of three places, looked up in this order:

1. what was registered with the decorator (`@DEFENSES.register("my_cloak")`), usually in a file given as
   `plugins=[my_cloak.py]`;
2. a built-in, declared by its import path and imported on first use;
3. an entry point of an installed package, in the registry's own group (`cloakbench.defenses`, ...).

Methods are dataclasses: their fields are their configuration, their docstring's first line is their description.
Metrics have no configuration; their registry is `metrics.METRICS`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bench.core.errors import BenchError, reason_of, unknown_name
from bench.core.meaning import as_meant, bad_value, takes_lists, written

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of `python -m bench.list`."""

    name: str
    description: str
    origin: str
    paper: str = ""


class Names(ABC, Generic[T]):
    """Names of one kind of plug-in and what is behind them.

    Args:
        kind: singular word for messages, such as "defense".
        group: entry-point group that other packages use.
        builtins: name -> "module:attribute" of what comes with the project.
    """

    def __init__(self, kind: str, group: str, builtins: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtins = dict(builtins)
        self._registered: dict[str, T] = {}

    @abstractmethod
    def described(self, plugin: T) -> tuple[str, str]:
        """What `python -m bench.list` says of a plug-in: a line, and its paper."""

    @abstractmethod
    def code_of(self, plugin: T) -> Any:
        """The class or function that a plug-in consists of."""

    @abstractmethod
    def check(self, plugin: Any, name: str, whose: str = "") -> None:
        """Refuse what is no plug-in of this kind.

        Args:
            plugin: what was registered, or an entry point names.
            name: its name.
            whose: what it is called in its file, in brackets.

        Raises:
            BenchError: what it should be.
        """

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds a plug-in under `name`.

        Raises:
            BenchError: another one has the name, or it is none of this kind.
        """

        def add(plugin: T) -> T:
            self.check(plugin, name, f" ({getattr(plugin, '__name__', type(plugin).__name__)})")
            code, other = self.code_of(plugin), self.code_of(self._registered.get(name, plugin))
            same = (other.__module__, other.__qualname__) == (code.__module__, code.__qualname__)
            if name in self._builtins or not same:
                whose = "comes with CloakBench" if name in self._builtins else f"is {source_of(other)}'s"
                raise BenchError(
                    f"The {self.kind} {name!r} of {source_of(code)} exists already: it {whose}.",
                    "Choose another name for yours.",
                )
            self._registered[name] = plugin
            return plugin

        return add

    def names(self) -> list[str]:
        """All names, sorted; imports nothing."""
        return sorted({*self._builtins, *self._registered, *self._entry_points()})

    def registered(self) -> list[str]:
        """Names of what was registered with the decorator, sorted."""
        return sorted(self._registered)

    def get(self, name: str) -> T:
        """What is behind a name, imported if necessary.

        Raises:
            BenchError: nothing has this name, or importing it failed.
        """
        if name in self._registered:
            return self._registered[name]
        if name in self._builtins:
            module, _, attribute = self._builtins[name].partition(":")
            return self._checked(getattr(importlib.import_module(module), attribute), name)
        point = self._entry_points().get(name)
        if point is None:
            raise unknown_name(self.kind, name, self.names())
        try:
            return self._checked(point.load(), name)
        except (Exception, SystemExit) as error:  # a stranger's package may fail in any way; name it and go on teaching
            package = point.dist.name if point.dist else "an installed package"
            raise BenchError(
                f"The {self.kind} {name!r} of {package} does not import: {reason_of(error)}",
                f"Upgrade or uninstall {package}.",
            ) from error

    def is_builtin(self, name: str) -> bool:
        """Whether the name comes with the project."""
        return name in self._builtins

    def entries(self) -> list[Entry]:
        """Every name with its description and origin. A plug-in that fails to import says so in its line."""
        return [self._entry(name) for name in self.names()]

    def _entry(self, name: str) -> Entry:
        try:
            plugin = self.get(name)
        except BenchError as error:
            return Entry(name, error.message, "broken")
        except (Exception, SystemExit) as error:  # one broken file must not hide all the others
            return Entry(name, f"does not import: {reason_of(error)}", "broken")
        description, paper = self.described(plugin)
        return Entry(name, description, self._origin(name, plugin), paper)

    def _origin(self, name: str, plugin: T) -> str:
        if name in self._builtins:
            return "cloakbench"
        if name in self._registered:
            return source_of(self.code_of(plugin))
        distribution = self._entry_points()[name].dist
        return f"{distribution.name} {distribution.version}" if distribution else self.group

    def _checked(self, plugin: T, name: str) -> T:
        self.check(plugin, name)
        return plugin

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}


class Registry(Names[type[T]], Generic[T]):
    """Methods of one kind: dataclasses, whose fields are their configuration.

    Args:
        kind: singular word for messages and the Hydra group, such as "defense".
        group: entry-point group that other packages use.
        builtins: name -> "module:Class" of what comes with the project; each has a file under `conf/`.
        several: whether a run can choose several at once; each then has its settings at a place of its own in the
            configuration, `kind.name.setting` instead of `kind.setting`.
    """

    def __init__(self, kind: str, group: str, builtins: Mapping[str, str], several: bool = False) -> None:
        super().__init__(kind, group, builtins)
        self.several = several

    def described(self, plugin: type[T]) -> tuple[str, str]:
        return (inspect.getdoc(plugin) or "").partition("\n")[0], getattr(plugin, "paper", "")

    def code_of(self, plugin: type[T]) -> type[T]:
        return plugin

    def check(self, plugin: Any, name: str, whose: str = "") -> None:
        if not (isinstance(plugin, type) and dataclasses.is_dataclass(plugin)):
            raise BenchError(
                f"The {self.kind} {name!r}{whose} is not a dataclass.",
                "Put @dataclass below the register decorator: its fields become the configuration.",
            )

    def create(self, name: str, settings: Mapping[str, Any]) -> T:
        """Build a plug-in from its settings, checking names, types and ranges.

        Raises:
            BenchError: unknown name, unknown setting, or a setting of the wrong type or outside its range.
        """
        return build(self.get(name), settings, f"{self.place(name)}.")

    def place(self, name: str) -> str:
        """Where in the configuration the settings of a plug-in are."""
        return f"{self.kind}.{name}" if self.several else self.kind


def source_of(code: Any) -> str:
    """The file that a class or function is in; its module, if that has none."""
    try:
        return inspect.getfile(code)
    except (OSError, TypeError):  # at a prompt, or in a notebook
        return str(code.__module__)


def build(cls: type[T], settings: Mapping[str, Any], prefix: str = "") -> T:
    """Make a dataclass from plain settings: unknown names get a suggestion, types and ranges are checked.

    Raises:
        BenchError: what is wrong with which setting.
    """
    from pydantic import ValidationError

    allowed = [f.name for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    for key in settings:
        if key not in allowed:
            raise unknown_name("setting", f"{prefix}{key}", [f"{prefix}{name}" for name in allowed])
    types = field_types(cls)  # type: ignore[arg-type]  # classes are hashable
    meant = {key: as_meant(types.get(key, Any), value) for key, value in settings.items()}
    try:
        made: T = _adapter(cls).validate_python(meant)  # type: ignore[arg-type]  # classes are hashable
    except ValidationError as error:
        first = error.errors()[0]
        location, said = first["loc"], first["msg"].removeprefix("Value error, ")
        if location and first["type"] == "missing":
            place = prefix + ".".join(map(str, location))
            raise BenchError(f"{place} has no value.", f"Give it: {place}=...") from None
        if location:
            one = len(location) == 1 and not takes_lists(types.get(str(location[0]), list[Any]))
            raise bad_value(prefix + ".".join(map(str, location)), first["input"], first["type"], said, one) from None
        # A check of several settings, which names them.
        wrong = {key: value for key, value in settings.items() if re.search(rf"\b{key}\b", said)} or dict(settings)
        raise _bad(prefix, wrong, f"{said[:1].upper()}{said[1:]}.") from None
    except BenchError:
        raise
    except (Exception, SystemExit) as error:  # of a class that may be anybody's
        raise BenchError(f"{cls.__name__} cannot be made: {reason_of(error)}", f"It is in {source_of(cls)}.") from error
    for name in allowed:
        if not _finite(getattr(made, name)):
            raise _bad(prefix, {name: getattr(made, name)}, "Give a finite number.")
    return made


def hints(cls: type[Any]) -> dict[str, Any]:
    """Setting -> annotation, each by itself: other fields may name what is imported for type checkers only."""

    def evaluated(field: dataclasses.Field[Any]) -> Any:
        owner = next(base for base in cls.__mro__ if field.name in inspect.get_annotations(base))
        return eval(field.type, vars(sys.modules[owner.__module__])) if isinstance(field.type, str) else field.type

    return {field.name: evaluated(field) for field in dataclasses.fields(cls) if field.init}


def _bad(prefix: str, wrong: Mapping[str, Any], said: str) -> BenchError:
    shown = ", ".join(f"{prefix}{key}={written(value)}" for key, value in wrong.items())
    return BenchError(f"Bad setting {shown}.", said)


def _finite(value: Any) -> bool:
    """Whether a setting has no number that is infinite or none: a plug-in need not give its numbers a range."""
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@cache
def field_types(cls: Any) -> dict[str, Any]:
    """As `hints`; none if one of them cannot be resolved."""
    try:
        return hints(cls)
    except Exception:  # of a class that may be anybody's
        return {}


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    """What checks the settings of a class: to make one takes hundreds of times as long as to use it."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)
