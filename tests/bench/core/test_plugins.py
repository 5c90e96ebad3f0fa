"""Plug-in files and modules: what they may import, and what is said of those that do not import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core.code_version import code_version, forget
from bench.core.errors import BenchError
from bench.core.plugins import PREFIX, import_plugins, loaded_class


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[None]:
    """Plug-in files, and what lies beside them, must not stay imported for the next test."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith((PREFIX, "helper_of_a_test", "package_of_a_test")):
            del sys.modules[name]
    forget()


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def mistake(*files: Path | str) -> BenchError:
    with pytest.raises(BenchError) as caught:
        import_plugins(map(str, files))
    return caught.value


# --- files ------------------------------------------------------------------------------------------------------------


def test_plugin_file_is_imported_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    file = tmp_path / "imported_once.py"
    file.write_text(f"class Mine: pass\nwith open({str(log)!r}, 'a') as stream: stream.write('x')\n")
    import_plugins([str(file)])
    import_plugins([str(file), str(file)])
    assert log.read_text() == "x"
    assert loaded_class(str(file), "Mine").__name__ == "Mine"
    with pytest.raises(BenchError, match="Unknown class 'Mime'") as caught:
        loaded_class(str(file), "Mime")
    assert "Did you mean 'Mine'?" in caught.value.fix


def test_file_of_the_same_name_in_another_folder_is_another_plugin(tmp_path: Path) -> None:
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cloak.py").write_text(f"class Mine: value = {value}\n")
        import_plugins([str(tmp_path / folder / "cloak.py")])
        assert loaded_class(str(tmp_path / folder / "cloak.py"), "Mine").value == value


def test_plugin_file_registers_itself_with_its_file_as_origin(tmp_path: Path) -> None:
    from countermeasures import COUNTERMEASURES

    file = tmp_path / "mirror_of_a_test.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from countermeasures import COUNTERMEASURES, Countermeasure\n\n"
        "@COUNTERMEASURES.register('mirror_of_a_test')\n"
        "@dataclass(frozen=True)\n"
        "class Mirror(Countermeasure):\n"
        "    '''Mirrored photos.'''\n"
        "    def apply(self, photos, generator):\n"
        "        return [photo[:, ::-1] for photo in photos]\n"
    )
    try:
        import_plugins([str(file)])
        entry = next(e for e in COUNTERMEASURES.entries() if e.name == "mirror_of_a_test")
        assert (entry.description, entry.origin) == ("Mirrored photos.", str(file))
    finally:
        COUNTERMEASURES._registered.pop("mirror_of_a_test", None)


def test_missing_plugin_file_is_named_with_the_place_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=r"my_cloak\.py does not exist") as caught:
        import_plugins(["my_cloak.py"])
    assert str(tmp_path / "my_cloak.py") in caught.value.fix


def test_missing_plugin_module_is_named() -> None:
    with pytest.raises(BenchError, match="no_such_package_of_a_test does not import: ModuleNotFoundError"):
        import_plugins(["no_such_package_of_a_test"])


def test_plugin_file_that_raises_is_shown_with_its_error_and_can_be_mended(tmp_path: Path) -> None:
    file = tmp_path / "raises_on_import.py"
    file.write_text("1 / 0\n")
    with pytest.raises(BenchError, match="ZeroDivisionError: division by zero") as caught:
        import_plugins([str(file)])
    assert "raises_on_import.py" in caught.value.message
    file.write_text("class Mended: pass  # and longer than before, so that no bytecode cache is taken for it\n")
    import_plugins([str(file)])
    assert loaded_class(str(file), "Mended").__name__ == "Mended"


def test_bench_error_of_a_plugin_file_is_passed_on_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "raises_bench_error.py"
    file.write_text("from bench.core.errors import BenchError\nraise BenchError('the weights are missing')\n")
    with pytest.raises(BenchError, match=r"^the weights are missing$"):
        import_plugins([str(file)])


# --- what lies beside a file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["from helper_of_a_test import VALUE", "from .helper_of_a_test import VALUE"])
def test_a_file_imports_what_lies_beside_it(tmp_path: Path, line: str) -> None:
    write(tmp_path / "helper_of_a_test.py", "VALUE = 7\n")
    file = write(tmp_path / "cloak.py", f"{line}\nclass Mine: value = VALUE\n")
    import_plugins([str(file)])
    assert loaded_class(str(file), "Mine").value == 7


@pytest.mark.parametrize("line", ["import helper_of_a_test", "from . import helper_of_a_test", "import random"])
def test_what_is_installed_goes_before_what_lies_beside_a_file(tmp_path: Path, line: str) -> None:
    for name in ("random", "torch", "metrics"):
        write(tmp_path / f"{name}.py", "raise AssertionError('shadowed')\n")
    write(tmp_path / "helper_of_a_test.py", "import random, metrics.identity\n")
    import_plugins([str(write(tmp_path / "cloak.py", f"{line}\n"))])


def test_helpers_of_one_name_in_two_folders_are_refused_and_not_mixed_up(tmp_path: Path) -> None:
    files = [write(tmp_path / folder / "cloak.py", "import helper_of_a_test\n") for folder in ("one", "two")]
    write(tmp_path / "two" / "helper_of_a_test.py", "")
    write(tmp_path / "one" / "helper_of_a_test" / "__init__.py", "")
    error = mistake(*files)
    assert str(tmp_path / "one" / "helper_of_a_test") in error.message
    assert str(tmp_path / "two" / "helper_of_a_test.py") in error.message
    assert "from .helper_of_a_test import" in error.fix
    write(files[1], "from . import helper_of_a_test\n")
    import_plugins([str(files[1])])


def test_a_helper_that_an_installed_module_hides_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tqdm.py", "VALUE = 1\n")
    error = mistake(write(tmp_path / "cloak.py", "from tqdm import VALUE\n"))
    assert str(tmp_path / "tqdm.py") in error.message
    write(tmp_path / "metrics.py", "VALUE = 1\n")  # may be somebody else's, until it is missed
    error = mistake(write(tmp_path / "other.py", "from metrics import VALUE\n"))
    assert f"{tmp_path / 'metrics.py'} is hidden by" in error.fix


HELPERS = {
    "beside": ("from helper_of_a_test import scale", "helper_of_a_test.py"),
    "relative": ("from .helper_of_a_test import scale", "helper_of_a_test.py"),
    "package": ("from package_of_a_test.deep import scale", "package_of_a_test/deep.py"),
    "module": ("import helper_of_a_test as h\nscale = h.scale", "helper_of_a_test.py"),
    "second hand": ("from .package_of_a_test import scale", "package_of_a_test/deep.py"),
}


@pytest.mark.parametrize("how", HELPERS)
def test_a_changed_helper_changes_the_stage_key(tmp_path: Path, how: str) -> None:
    line, helper = HELPERS[how]
    for folder in ("one", "two"):
        write(tmp_path / folder / "package_of_a_test" / "__init__.py", "from .deep import scale\n")
        write(tmp_path / folder / helper, "def scale(x):\n    return 2 * x\n")
        write(tmp_path / folder / "cloak.py", f"{line}\nclass Mine:\n    def run(self, x): return scale(x)\n")
    if how != "relative" and how != "second hand":
        sys.path.append(str(tmp_path / "one"))
    versions = []
    for folder, factor in (("one", 2), ("one", 3), ("two", 2)):
        write(tmp_path / folder / helper, f"def scale(x):\n    return {factor} * x  # comments do not count\n")
        cls = type("Mine", (), {})
        cls.__module__ = f"{PREFIX}x.cloak"
        forget()
        versions.append(code_version_at(cls, tmp_path / folder / "cloak.py"))
    assert versions[0] != versions[1]
    assert versions[0] == versions[2]  # where a plug-in lies does not count


def code_version_at(cls: type, file: Path) -> str:
    """The version of a class in a file, which need not be imported for it."""
    module = type(sys)(cls.__module__)
    module.__file__ = str(file)
    sys.modules[cls.__module__] = module
    return code_version(cls)


def test_a_packages_own_modules_count_and_other_installed_ones_do_not(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    write(site / "package_of_a_test" / "__init__.py", "")
    write(site / "package_of_a_test" / "core.py", "def f(x): return x\n")
    write(site / "helper_of_a_test.py", "y = 1\n")
    source = (
        "import helper_of_a_test\nfrom .core import f\nclass Mine:\n    def run(self): return f(helper_of_a_test.y)\n"
    )
    file = write(site / "package_of_a_test" / "cloak.py", source)
    cls = type("Mine", (), {"__module__": "package_of_a_test.cloak"})
    before = code_version_at(cls, file)
    write(site / "helper_of_a_test.py", "y = 2\n")
    forget()
    assert code_version_at(cls, file) == before
    write(site / "package_of_a_test" / "core.py", "def f(x): return 2 * x\n")
    forget()
    assert code_version_at(cls, file) != before


def test_a_class_without_a_file_has_no_version() -> None:
    with pytest.raises(BenchError, match="Cloak is in no file"):
        code_version(type("Cloak", (), {"__module__": "builtins"}))


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys\n\nsys.exit('bye')\n", "leaves the program (sys.exit('bye')) ({file}:3)"),
        ("raise SystemExit\n", "leaves the program (sys.exit(None)) ({file}:1)"),
        ("import os\nos._exit(0)\n", "leaves the program (sys.exit(0)) ({file}:2)"),
        ("from os import _exit\n_exit(3)\n", "leaves the program (sys.exit(3)) ({file}:2)"),
        ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax ({file}:2)"),
        ("x = 1\n  y = 2\n", "IndentationError: unexpected indent ({file}:2)"),
        ("import json\njson.loads('{')\n", "JSONDecodeError"),
        ("\nimport no_such_module_of_a_test\n", "No module named 'no_such_module_of_a_test' ({file}:2)"),
    ],
)
def test_what_a_file_does_wrong_is_told_with_its_line(tmp_path: Path, source: str, words: str) -> None:
    leave, file = os._exit, write(tmp_path / "my cloak.py", source)
    error = mistake(file)
    assert words.format(file=file) in error.message
    assert str(file) in error.message
    assert os._exit is leave
    alone = subprocess.run([sys.executable, str(file)], capture_output=True, check=False)
    if "Try it alone" in error.fix:
        assert error.fix == f"Try it alone: python '{file}'"
        assert alone.returncode


def test_an_interrupt_is_no_mistake_of_the_plug_in(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        import_plugins([str(write(tmp_path / "cloak.py", "raise KeyboardInterrupt\n"))])


def test_a_name_that_is_taken_names_both_files(tmp_path: Path) -> None:
    source = (
        "from dataclasses import dataclass\nfrom countermeasures import COUNTERMEASURES, Countermeasure\n"
        "@COUNTERMEASURES.register('{}')\n@dataclass(frozen=True)\nclass Mine(Countermeasure):\n    pass\n"
    )
    one, two = (write(tmp_path / f"{name}.py", source.format("twice_of_a_test")) for name in ("one", "two"))
    from countermeasures import COUNTERMEASURES

    try:
        error = mistake(one, two)
    finally:
        COUNTERMEASURES._registered.pop("twice_of_a_test", None)
    assert str(one) in error.message
    assert str(two) in error.message
    assert "comes with CloakBench" in mistake(write(tmp_path / "three.py", source.format("jpeg"))).message


def test_sources_that_are_no_plug_ins_are_told_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine" / "cloak_of_a_test.py", "")
    write(tmp_path / "metrics.py", "")
    assert "plugins=[mine/my_cloak.py]" in mistake("mine").fix
    assert "plugins=[metrics.py]" in mistake("metrics").fix
    assert mistake("mine/cloak_of_a_test").fix == "Did you mean the file mine/cloak_of_a_test.py?"
    import_plugins(["metrics.py"])  # as a file it is one like any other
    monkeypatch.chdir(tmp_path / "mine")
    import_plugins(["cloak_of_a_test"])  # as a module, from where the user stands
    del sys.modules["cloak_of_a_test"]


def test_a_data_set_that_leaves_the_program_is_told(tmp_path: Path) -> None:
    source = (
        "from dataclasses import dataclass\nfrom bench.data import SOURCES, Source\n"
        "@SOURCES.register('leaving')\n@dataclass(frozen=True)\nclass Leaving(Source):\n"
        "    def load(self, resolution):\n        raise SystemExit(0)\n"
    )
    words = [f"plugins=[{write(tmp_path / 'leaving.py', source)}]", "data=leaving", "logger=none"]
    done = subprocess.run([sys.executable, "-m", "bench", *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"leaves the program (sys.exit(0)) ({tmp_path / 'leaving.py'}:7)" in done.stderr.replace(
        "it leaves", "leaves"
    )
