"""Code versions, content hashes and seeds: what a stage key depends on, and what it does not."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bench.core.code_version
from bench.core.code_version import code_version, module_version, source_version
from bench.core.hashing import hash_of, sha256_array, sha256_file
from bench.core.seeding import derive, generator

MAIN = '''
"""What the module is for."""
from dataclasses import dataclass

from project_of_a_test.helper import double


@dataclass
class Method:
    """A method."""

    strength: int = 3

    def run(self, x: int) -> int:
        """Run it."""
        return double(x) + self.strength
'''
HELPER = "from project_of_a_test import deep\n\ndef double(x):\n    return deep.scale(x, 2)\n"
DEEP = "def scale(x, factor):\n    return x * factor\n"


class Project:
    """A temporary project package whose modules a test rewrites."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project_of_a_test"
        self.root.mkdir()
        self.write(__init__="", main=MAIN, helper=HELPER, deep=DEEP, unused="x = 1\n")

    def write(self, **sources: str) -> None:
        for name, source in sources.items():
            (self.root / f"{name}.py").write_text(source)

    def version(self, module: str = "main") -> str:
        """The version of a module that a new process would see."""
        bench.core.code_version.forget()
        importlib.invalidate_caches()
        return module_version(f"project_of_a_test.{module}")


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith("project_of_a_test")]:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bench.core.code_version, "PROJECT", ("project_of_a_test",))
    forget()
    yield Project(tmp_path)
    forget()
    bench.core.code_version.forget()


# --- code versions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return double(x) + self.strength", "return double(x) + self.strength  # a comment"),
        ("return double(x) + self.strength", "return (\n            double(x)\n            + self.strength\n        )"),
        ('"""What the module is for."""', '"""Something else."""'),
        ('"""What the module is for."""', ""),
        ('    """A method."""', '    """A better method."""'),
        ('        """Run it."""\n', ""),
        ("\n\n\n", "\n\n\n\n\n"),
    ],
    ids=[
        "comment",
        "line breaks",
        "module docstring",
        "no docstring",
        "class docstring",
        "function docstring",
        "blank",
    ],
)
def test_words_and_layout_do_not_change_the_version(project: Project, old: str, new: str) -> None:
    before = project.version()
    assert old in MAIN
    project.write(main=MAIN.replace(old, new))
    assert project.version() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("+ self", "- self"), ("strength: int = 3", "strength: int = 4"), ("@dataclass\n", ""), ("def run", "def go")],
)
def test_code_changes_the_version(project: Project, old: str, new: str) -> None:
    before = project.version()
    assert old in MAIN
    project.write(main=MAIN.replace(old, new))
    assert project.version() != before


@pytest.mark.parametrize(
    "main",
    [
        MAIN.replace("from project_of_a_test.helper import double", "from project_of_a_test import helper").replace(
            "double(x)", "helper.double(x)"
        ),
        MAIN.replace("from project_of_a_test.helper import double", "import project_of_a_test.helper").replace(
            "double(x)", "project_of_a_test.helper.double(x)"
        ),
        MAIN.replace("from project_of_a_test.helper", "from project_of_a_test.room.moved"),
        MAIN.replace("from project_of_a_test.helper", "from project_of_a_test.room"),
        MAIN.replace("from project_of_a_test.helper import double\n", "") + HELPER,
    ],
    ids=["by its module", "by a dotted name", "moved", "by its package", "in the same file"],
)
def test_where_code_lives_and_how_it_is_imported_does_not_change_the_version(project: Project, main: str) -> None:
    before = project.version()
    room = project.root / "room"
    room.mkdir()
    (room / "__init__.py").write_text("from project_of_a_test.room.moved import double\n")
    (room / "moved.py").write_text(HELPER)
    project.write(main=main)
    assert project.version() == before
    project.write(deep=DEEP.replace("x * factor", "x + factor"))
    assert project.version() != before


def test_moving_the_stage_itself_changes_nothing_but_an_expression_in_it_does(project: Project) -> None:
    before = project.version()
    project.write(elsewhere=MAIN)
    assert project.version("elsewhere") == before
    project.write(elsewhere=MAIN.replace("double(x)", "double(2 * x)"))
    assert project.version("elsewhere") != before


def test_a_renamed_module_changes_nothing_in_the_code_that_uses_it(project: Project) -> None:
    before = project.version()
    project.write(helper=HELPER.replace("deep", "shallow"), shallow=DEEP)
    assert project.version() == before


def test_the_same_name_from_another_place_is_another_thing(project: Project) -> None:
    """Both functions are reached before and after; only which of them `run` calls differs."""
    project.write(twin="def double(x):\n    return x + x + 0\n")
    both = "from project_of_a_test import helper, twin\n"
    project.write(main=both + MAIN)
    before = project.version()
    project.write(main=both + MAIN.replace("_test.helper import", "_test.twin import"))
    assert project.version() != before


@pytest.mark.parametrize(("old", "new"), [("import floor", "import ceil as floor"), ("from math", "from numpy")])
def test_what_comes_from_a_library_counts(project: Project, old: str, new: str) -> None:
    source = "from math import floor\n\ndef double(x):\n    return floor(2 * x)\n"
    project.write(helper=source)
    before = project.version()
    project.write(helper=source.replace(old, new))
    assert project.version() != before
    project.write(helper=source.replace("from math", "import os\nfrom math"))
    assert project.version() == before


def test_string_that_is_no_docstring_is_code(project: Project) -> None:
    project.write(main="x = 1\nprompt = 'a photo'\n")
    before = project.version()
    project.write(main="x = 1\nprompt = 'a picture'\n")
    assert project.version() != before


@pytest.mark.parametrize("module", ["helper", "deep"])
def test_imported_module_counts_directly_and_at_second_hand(project: Project, module: str) -> None:
    before = project.version()
    project.write(**{module: (project.root / f"{module}.py").read_text() + "\nextra = 1\n"})
    assert project.version() != before


def test_import_inside_a_function_counts(project: Project) -> None:
    project.write(main="def run():\n    import project_of_a_test.unused\n    return project_of_a_test.unused.x\n")
    before = project.version()
    project.write(unused="x = 2\n")
    assert project.version() != before


def test_module_that_is_not_imported_does_not_count(project: Project) -> None:
    before = project.version()
    project.write(unused="x = 2\n")
    assert project.version() == before


def test_plumbing_does_not_count(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.core.code_version, "HARMLESS", frozenset({"project_of_a_test.helper"}))
    before = project.version()
    project.write(helper=HELPER.replace("2)", "3)") + "\nextra = 1\n", deep="y = 3\n")
    assert project.version() == before


def test_what_else_is_registered_does_not_count(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further defense must not cost anybody the cloaks of the others."""
    monkeypatch.setattr(bench.core.code_version, "HARMLESS", frozenset({"project_of_a_test.builtin"}))
    table = "from project_of_a_test.builtin import BUILTIN\n\nMETHODS = dict(BUILTIN)\n"
    project.write(builtin="BUILTIN = {}\n", main=MAIN + table)
    before = project.version()
    project.write(builtin="BUILTIN = {'mine': 'mine:Mine'}\n")
    assert project.version() == before
    project.write(main=MAIN + table + "METHODS['mine'] = 'mine:Mine'\n")
    assert project.version() != before


def test_of_sources_every_word_of_all_that_is_imported_counts(project: Project) -> None:
    before = project.version(), source_version("project_of_a_test.main")
    project.write(unused="x = 2\n")
    assert (project.version(), source_version("project_of_a_test.main")) == before
    project.write(deep=f"{DEEP}# a remark\n")
    assert project.version() == before[0]
    assert source_version("project_of_a_test.main") != before[1]


def test_modules_that_import_each_other_have_a_version(project: Project) -> None:
    project.write(deep="def scale(x, factor):\n    from project_of_a_test.main import Method\n    return x * factor\n")
    assert len(project.version()) == 64


def test_plugin_class_has_the_version_of_its_file(project: Project) -> None:
    before = project.version()
    method = importlib.import_module("project_of_a_test.main").Method
    assert code_version(method) == before
    project.write(deep=DEEP + "\nextra = 1\n")
    assert project.version() != before
    assert code_version(method) == project.version()


# --- hashes ---------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_hash_does_not_depend_on_key_order(value: dict[str, Any]) -> None:
    assert hash_of(value) == hash_of(dict(reversed(value.items())))


def test_hash_is_a_known_one() -> None:
    """Keys in people's stores must stay valid: SHA-256 of the compact text, here `{"a":[1,null,true],"b":"x"}`."""
    expected = "4c8c7327cf64103a1cc00f4f6aa3e619de92d6b3e9d6d84d8150aa786d976811"
    assert hash_of({"b": "x", "a": [1, None, True]}) == expected


@pytest.mark.parametrize(("a", "b"), [(0, False), (1, "1"), (None, ""), ([1, 2], [2, 1]), (1, 1.0), ({}, [])])
def test_different_values_have_different_hashes(a: Any, b: Any) -> None:
    assert hash_of(a) != hash_of(b)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [{"x": math.nan}]])
def test_hash_rejects_numbers_that_json_lacks(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        hash_of(value)


@pytest.mark.parametrize("value", [{1}, b"x", Path("x"), np.float32(1), np.int64(1), object(), {(1, 2): 3}])
def test_hash_rejects_what_is_not_json_instead_of_taking_its_str(value: Any) -> None:
    with pytest.raises(TypeError):
        hash_of({"x": value})


def test_hash_of_pixels_depends_on_values_shape_and_type_only() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert sha256_array(array) == sha256_array(array.copy(order="F"))
    assert sha256_array(array) != sha256_array(array.reshape(4, 2, 3))
    assert sha256_array(array) != sha256_array(array.astype(np.int8))
    assert sha256_array(array) != sha256_array(array + np.uint8(1))


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_zero_is_a_seed_like_any_other() -> None:
    assert len({derive(seed, "fit") for seed in range(100)}) == 100
    assert derive(0) != derive()
    assert not torch.equal(torch.randn(8, generator=generator(0)), torch.randn(8, generator=generator(1)))


def test_order_and_borders_of_the_components_matter() -> None:
    assert derive("a", "b") != derive("b", "a")
    assert derive("ab", "c") != derive("a", "bc")
    assert derive(1) != derive("1")


@given(st.lists(st.integers() | st.text(), max_size=4))
def test_seed_has_63_bits(components: list[int | str]) -> None:
    assert 0 <= derive(*components) < 2**63
    generator(*components)  # torch accepts it


def test_generator_gives_the_same_numbers_again() -> None:
    first, second = (torch.randn(8, generator=generator(3, "fit", "ann")) for _ in range(2))
    assert torch.equal(first, second)
    assert generator(3, "fit", "ann").device.type == "cpu"


def test_seed_is_a_known_one() -> None:
    """Published results must be reproducible with later versions."""
    assert derive(0, "fit", "ann") == int(hash_of([0, "fit", "ann"])[:16], 16) // 2


def test_a_file_hash_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")  # FIPS 180-2, B.1


def test_settings_addresses_of_weights_and_lists_of_methods_are_no_code_of_a_stage() -> None:
    """What they say of a cell is in its keys; a new setting or method must not cost a store."""
    tables = {"attacks.builtin", "countermeasures.builtin", "defenses.builtin"}
    assert tables <= bench.core.code_version.HARMLESS
    assert {"bench.config.schema", "bench.models.weights.published"} <= bench.core.code_version.HARMLESS
