"""The registry: four places a name can come from, and errors that teach."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import bench.core.registry
from bench.core.errors import BenchError, unknown_name
from bench.core.registry import Registry, build
from tests.support.contexts import ROOT


class Cloak:
    """What the registries of these tests hold."""


@dataclass(frozen=True)
class Veil(Cloak):
    """A thin cloak.

    The rest of the docstring is not the description.
    """

    strength: int = 3
    prompt: str = "a photo"


@dataclass(frozen=True)
class Picky(Cloak):
    """A cloak with a setting that has no default."""

    root: str


class NoDataclass(Cloak):
    """A plug-in whose author forgot @dataclass."""


def new(**builtins: str) -> Registry[Cloak]:
    return Registry("defense", "cloakbench.test", builtins)


def fail(*_: object, **__: object) -> None:
    raise AssertionError("this must not be called")


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points that installed packages seem to have, of any group."""
    found: list[EntryPoint] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [point for point in found if point.group == group]

    monkeypatch.setattr(bench.core.registry, "entry_points", entry_points)
    return found


# --- names ----------------------------------------------------------------------------------------------------------


def test_decorator_adds_a_class_and_returns_it_unchanged() -> None:
    registry = new()
    assert registry.register("veil")(Veil) is Veil
    assert registry.get("veil") is Veil
    assert registry.names() == ["veil"]
    assert not registry.is_builtin("veil")


def test_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    registry = new(aspl="defenses.aspl:Aspl", noise="defenses.noise:Noise")
    with pytest.raises(BenchError) as caught:
        registry.get("aspel")
    assert caught.value.message == "Unknown defense 'aspel'."
    assert caught.value.fix == "Did you mean 'aspl'? Allowed: aspl, noise."


def test_no_suggestion_when_nothing_is_near() -> None:
    assert unknown_name("attack", "xyz", ["dreambooth"]).fix == "Allowed: dreambooth."
    assert "(nothing)" in unknown_name("attack", "xyz", []).fix


def test_error_shows_message_and_fix_on_their_own_lines() -> None:
    assert str(BenchError("wrong", "mend it")) == "wrong\nmend it"
    assert str(BenchError("wrong")) == "wrong"


def test_class_that_is_no_dataclass_is_rejected_by_the_decorator() -> None:
    registry = new()
    with pytest.raises(BenchError, match="is not a dataclass"):
        registry.register("plain")(NoDataclass)
    assert registry.names() == []


@pytest.mark.parametrize("taken", ["builtin", "registered"])
def test_name_that_is_taken_is_rejected(taken: str) -> None:
    registry = new(builtin="no.such.module:Class")
    registry.register("registered")(Veil)
    with pytest.raises(BenchError, match=f"{taken}.*exists already"):
        registry.register(taken)(Picky)
    assert registry.get("registered") is Veil


def test_same_class_may_be_registered_again() -> None:
    """A notebook cell is run twice; that is not a second plug-in."""
    registry = new()
    registry.register("veil")(Veil)
    registry.register("veil")(Veil)
    assert registry.names() == ["veil"]


# --- built-ins ------------------------------------------------------------------------------------------------------


def test_builtin_is_imported_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from dataclasses import dataclass\n\n@dataclass\nclass Lazy:\n    '''A lazy one.'''\n    depth: int = 1\n"
    (tmp_path / "lazy_builtin_of_a_test.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    registry = new(lazy="lazy_builtin_of_a_test:Lazy")
    assert registry.names() == ["lazy"]
    assert registry.is_builtin("lazy")
    assert "lazy_builtin_of_a_test" not in sys.modules
    try:
        assert registry.get("lazy").__name__ == "Lazy"
        assert [(e.name, e.description, e.origin) for e in registry.entries()] == [
            ("lazy", "A lazy one.", "cloakbench")
        ]
    finally:
        sys.modules.pop("lazy_builtin_of_a_test", None)


def test_names_of_all_kinds_are_known_without_torch() -> None:
    """`python -m bench --help` lists them, and must not wait for torch."""
    script = (
        "import sys; from defenses import DEFENSES; from attacks import ATTACKS; from bench.data import SOURCES;"
        "from countermeasures import COUNTERMEASURES;"
        "assert all('none' in r.names() for r in (DEFENSES, ATTACKS, COUNTERMEASURES)) and 'folder' in SOURCES.names();"
        "assert 'torch' not in sys.modules"
    )
    root = ROOT
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- settings -------------------------------------------------------------------------------------------------------


def test_settings_become_fields() -> None:
    registry = new()
    registry.register("veil")(Veil)
    assert registry.create("veil", {"strength": 7}) == Veil(strength=7)


def test_unknown_setting_suggests_the_nearest() -> None:
    registry = new()
    registry.register("veil")(Veil)
    with pytest.raises(BenchError) as caught:
        registry.create("veil", {"strenght": 7})
    assert caught.value.message == "Unknown setting 'defense.strenght'."
    assert caught.value.fix == "Did you mean 'defense.strength'? Allowed: defense.prompt, defense.strength."


@pytest.mark.parametrize("value", ["much", None, 1.5, [1]])
def test_setting_of_the_wrong_type_names_the_setting_and_the_value(value: object) -> None:
    with pytest.raises(BenchError) as caught:
        build(Veil, {"strength": value}, "defense.")
    assert f"defense.strength={'null' if value is None else repr(value)}" in caught.value.message
    assert caught.value.fix


def test_setting_without_default_must_be_given() -> None:
    with pytest.raises(BenchError, match="root"):
        build(Picky, {}, "defense.")


# --- entry points ---------------------------------------------------------------------------------------------------


def test_entry_point_of_the_own_group_is_found(points: list[EntryPoint]) -> None:
    points += [
        EntryPoint("veil", f"{__name__}:Veil", "cloakbench.test"),
        EntryPoint("stranger", f"{__name__}:Veil", "another.group"),
    ]
    registry = new()
    assert registry.names() == ["veil"]
    assert registry.create("veil", {"strength": 5}) == build(registry.get("veil"), {"strength": 5})
    entry = registry.entries()[0]
    assert (entry.name, entry.description) == ("veil", "A thin cloak.")


def test_builtin_and_decorator_win_over_an_entry_point(points: list[EntryPoint]) -> None:
    """An installed package must not silently replace what comes with the project."""
    points += [EntryPoint(name, "no_such_package_of_a_test:X", "cloakbench.test") for name in ("builtin", "registered")]
    registry = new(builtin=f"{__name__}:Veil")
    registry.register("registered")(Picky)
    assert registry.get("builtin").__name__ == "Veil"
    assert registry.get("registered") is Picky
    assert registry.names() == ["builtin", "registered"]


def test_a_class_that_cannot_be_made_is_named_with_its_error() -> None:
    @dataclass(frozen=True)
    class Grumpy(Cloak):
        strength: int = 3

        def __post_init__(self) -> None:
            raise SystemExit(3)

    with pytest.raises(BenchError, match="Grumpy cannot be made: SystemExit: 3") as caught:
        build(Grumpy, {})
    assert __file__ in caught.value.fix


def test_broken_entry_point_is_a_line_of_the_list_and_harms_no_other(points: list[EntryPoint]) -> None:
    points += [EntryPoint("broken", "no_such_package_of_a_test:X", "cloakbench.test")]
    registry = new()
    registry.register("veil")(Veil)
    with pytest.raises(BenchError, match="does not import: ModuleNotFoundError"):
        registry.get("broken")
    lines = {entry.name: entry for entry in registry.entries()}
    assert lines["broken"].origin == "broken"
    assert "no_such_package_of_a_test" in lines["broken"].description
    assert lines["veil"].description == "A thin cloak."


def test_entry_point_that_is_no_dataclass_is_broken(points: list[EntryPoint]) -> None:
    points += [EntryPoint("plain", f"{__name__}:NoDataclass", "cloakbench.test")]
    registry = new()
    with pytest.raises(BenchError, match="is not a dataclass"):
        registry.get("plain")
    assert registry.entries()[0].origin == "broken"


def test_entry_points_are_not_read_for_a_known_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scanning all installed packages takes a noticeable time."""
    monkeypatch.setattr(bench.core.registry, "entry_points", fail)
    registry = new(builtin=f"{__name__}:Veil")
    registry.register("veil")(Veil)
    assert registry.get("veil") is Veil
    assert registry.get("builtin").__name__ == "Veil"
