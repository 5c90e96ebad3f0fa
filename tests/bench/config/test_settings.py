"""The configuration: files under conf/ agree with the code, and mistakes on the command line are explained."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from attacks import ATTACKS
from bench.config.compose import prepare
from bench.config.schema import Method, RunSettings
from bench.core.errors import BenchError
from bench.core.registry import Registry
from bench.data import SOURCES
from bench.loggers import LOGGERS
from countermeasures import COUNTERMEASURES
from defenses import DEFENSES
from tests.support.contexts import ROOT
from tests.support.settings import parsed

CONF = ROOT / "conf"
REGISTRIES: dict[str, Registry[Any]] = {
    "defense": DEFENSES,
    "attack": ATTACKS,
    "countermeasure": COUNTERMEASURES,
    "data": SOURCES,
    "logger": LOGGERS,
}
OPTIONS = sorted((folder.name, file.stem) for folder in CONF.iterdir() for file in folder.glob("*.yaml"))
METHODS = [(group, name) for group, name in OPTIONS if group in REGISTRIES]
NEEDED = {
    ("data", "folder"): ["data.root=photos"],
    ("data", "parquet"): ["data.root=photos.parquet"],
    ("model", "diffusers"): ["model.source=/models/sd15"],
    ("defense", "precomputed"): ["defense.label=theirs", "defense.root=cloaked"],
}
"""What a person must give with an option."""


# --- conf/ and the code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "name"), METHODS)
def test_file_has_exactly_the_fields_of_its_class_with_their_defaults(group: str, name: str) -> None:
    fields: dict[str, Any] = {"name": name}
    for field in dataclasses.fields(REGISTRIES[group].get(name)):
        if not field.init:
            continue
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        default = "???" if default is dataclasses.MISSING else default
        fields[field.name] = list(default) if isinstance(default, tuple) else default
    written: Any = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    if REGISTRIES[group].several:
        written = {"name": name, **written}
    assert written == fields
    assert isinstance(written, dict)
    assert {key: type(value) for key, value in written.items()} == {key: type(value) for key, value in fields.items()}


@pytest.mark.parametrize("group", REGISTRIES)
def test_every_builtin_has_a_file_and_every_file_a_builtin(group: str) -> None:
    registry = REGISTRIES[group]
    assert {name for g, name in METHODS if g == group} == {n for n in registry.names() if registry.is_builtin(n)}


@pytest.mark.parametrize(("group", "name"), METHODS)
def test_every_builtin_can_be_made_from_its_file(group: str, name: str) -> None:
    settings = parsed(f"{group}={name}", *NEEDED.get((group, name), []))
    chosen = getattr(settings, group)
    method: Method = chosen[0] if REGISTRIES[group].several else chosen
    assert method.name == name
    assert isinstance(REGISTRIES[group].create(name, method.settings), REGISTRIES[group].get(name))


@pytest.mark.parametrize(("group", "name"), [option for option in OPTIONS if option[0] != "hydra"])
def test_every_option_composes_and_passes_the_check(group: str, name: str) -> None:
    words = [f"{group}={name}", *NEEDED.get((group, name), [])]
    prepare(words)
    chosen = getattr(parsed(*words), group)
    if group == "countermeasure":
        (chosen,) = chosen
    assert (chosen if isinstance(chosen, str) else chosen.name) == name


def test_defaults_are_those_of_the_types() -> None:
    """Two places state them, conf/config.yaml for people and RunSettings for scripts."""
    settings = parsed()
    for name, field in RunSettings.model_fields.items():
        if not field.is_required():
            assert getattr(settings, name) == field.default, name


# --- the check of the types -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "message", "fix"),
    [
        ("+budgett=8", "Unknown setting 'budgett'.", "Did you mean 'budget'?"),
        ("+protocol.farr=0.1", "Unknown setting 'protocol.farr'.", "Did you mean 'protocol.far'?"),
        ("budget=300", "Bad setting budget=300.", "of at least 0 and at most 255 (grey levels of 255)"),
        ("budget=nan", "Bad setting budget=nan.", ""),
        ("budget=much", "Bad setting budget='much'.", "Give a number of at least 0"),
        ("seed=-1", "Bad setting seed=-1.", "of at least 0"),
        ("seed=1.5", "Bad setting seed=1.5.", "whole number"),
        ("model.precision=fp8", "Bad setting model.precision='fp8'.", "'fp32' or 'bf16'"),
        ("protocol.prompts=[]", "Bad setting protocol.prompts=[].", "at least 1 item"),
        ("protocol.far=0", "Bad setting protocol.far=0.", "above 0 and below 1"),
    ],
)
def test_wrong_value_is_named_with_what_is_allowed(word: str, message: str, fix: str) -> None:
    with pytest.raises(BenchError) as caught:
        parsed(word)
    assert caught.value.message == message
    assert fix in caught.value.fix


def test_unknown_setting_inside_a_list_is_named() -> None:
    with pytest.raises(BenchError, match=r"Unknown setting 'surrogates\.0\.sauce'"):
        parsed("surrogates=[{name: facelet-2, sauce: zoo}]")


def test_a_base_in_a_list_is_what_its_file_says_and_what_differs() -> None:
    whole, other = parsed("surrogates=[facelet-2,{name: sd15, source: here}]").surrogates
    assert whole == parsed("model=facelet-2").model
    assert other == parsed("model=sd15", "model.source=here").model
    assert parsed("surrogates=[{name: mine, source: here}]").surrogates[0].resolution == 512  # not a shipped one


def test_a_base_in_a_list_that_is_not_known_or_not_complete_is_named() -> None:
    with pytest.raises(BenchError, match="Unknown model 'facelet2'") as caught:
        parsed("surrogates=[facelet2]")
    assert "facelet-2" in caught.value.fix
    with pytest.raises(BenchError, match="Model 'diffusers' has no source"):
        parsed("surrogates=[diffusers]")
    with pytest.raises(BenchError, match="Unknown model 'facelet1'"):
        parsed("+suite.parts={a: {surrogate: facelet1}}")


def test_zero_is_a_seed_and_a_budget() -> None:
    settings = parsed("seed=0", "budget=0")
    assert (settings.seed, settings.budget) == (0, 0)


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message", "fix"),
    [
        (["defense=aspel"], "Unknown defense 'aspel'.", "Did you mean 'aspl'?"),
        (["model=facelet1"], "Unknown model 'facelet1'.", "Did you mean 'facelet-1'?"),
        (["budgett=8"], "Unknown setting 'budgett'.", "Did you mean 'budget'?"),
        (["defence=noise"], "Unknown setting 'defence'.", "Did you mean 'defense'?"),
        (["defense=aspl", "defense.epz=3"], "Unknown setting 'defense.epz'.", "Did you mean 'defense.step'?"),
        (
            ["defense=aspl", "defense.pgd_step=3"],
            "Unknown setting 'defense.pgd_step'.",
            "Did you mean 'defense.pgd_steps'?",
        ),
        (["attack=lora", "attack.rang=3"], "Unknown setting 'attack.rang'.", "Did you mean 'attack.rank'?"),
        (["data=folder"], "data.root has no value.", "data.root=..."),
        (["model=diffusers"], "model.source has no value.", "model.source=..."),
        (["attack=dreambooth,loraa"], "Unknown attack 'loraa'.", "Did you mean 'lora'?"),
        (["plugins=[missing.py]"], "The plug-in file missing.py does not exist.", "missing.py"),
        (["plugins=missing.py"], "The plug-in file missing.py does not exist.", "missing.py"),
        (["budget"], "'budget' is not key=value.", "budget=16"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_explained(words: list[str], message: str, fix: str) -> None:
    with pytest.raises(BenchError) as caught:
        prepare(words)
    assert caught.value.message == message
    assert fix in caught.value.fix
    assert "+" not in caught.value.fix, "Hydra's advice to write +key=value would be wrong here"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-m", "attack=dreambooth,lora", "budget=8,16"],
        ["--multirun", "seed=range(0,3)", "defense=aspl,noise"],
        ["defense=noise", "budget=4", "seed=0"],
        ["data=folder", "data.root=my photos"],
        ["protocol.prompts=['a photo of {subject}, smiling']"],
        ["--help"],
        ["dry_run=true", "plugins=[]"],
    ],
    ids=" ".join,
)
def test_correct_command_line_passes(words: list[str]) -> None:
    prepare(words)


def test_settings_of_the_first_choice_of_a_sweep_are_checked() -> None:
    prepare(["-m", "attack=lora", "attack.rank=4,8"])
    with pytest.raises(BenchError, match=r"Unknown setting 'attack\.rang'"):
        prepare(["-m", "attack=lora", "attack.rang=4,8"])


# --- plug-ins -------------------------------------------------------------------------------------------------------

NAME = "hat_of_a_test"
PLUGIN = f"""
from dataclasses import dataclass, field

from defenses import DEFENSES, Defense


@DEFENSES.register({NAME!r})
@dataclass(frozen=True)
class Hat(Defense):
    '''A hat.'''

    field: int = 1
    sizes: tuple[int, ...] = (1, 2)
    brim: float | None = None

    def protect(self, photos, context):
        return photos
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A file that registers a defense; afterwards nothing of it is left."""
    file = tmp_path / f"{NAME}.py"
    file.write_text(PLUGIN)
    yield file
    DEFENSES._registered.pop(NAME, None)
    sys.modules.pop(f"cloakbench_plugin_{NAME}", None)


@pytest.mark.parametrize("plugins_first", [True, False])
def test_plugin_is_configured_like_a_builtin(plugin: Path, plugins_first: bool) -> None:
    words = [f"plugins=[{plugin}]", f"defense={NAME}", "defense.field=3"]
    words = words if plugins_first else words[::-1]
    prepare(words)
    settings = parsed(*words)
    assert settings.defense == Method(name=NAME, settings={"field": 3, "sizes": [1, 2], "brim": None})
    made = DEFENSES.create(NAME, settings.defense.settings)
    assert (made.field, made.sizes) == (3, (1, 2))  # type: ignore[attr-defined]


def test_unknown_setting_of_a_plugin_gets_a_suggestion(plugin: Path) -> None:
    with pytest.raises(BenchError, match=r"Unknown setting 'defense\.feild'") as caught:
        prepare([f"plugins=[{plugin}]", f"defense={NAME}", "defense.feild=3"])
    assert "Did you mean 'defense.field'?" in caught.value.fix


def test_required_field_of_a_plugin_must_be_given(plugin: Path) -> None:
    plugin.write_text(PLUGIN.replace("field: int = 1", "field: int"))
    with pytest.raises(BenchError, match=r"defense\.field has no value"):
        prepare([f"plugins=[{plugin}]", f"defense={NAME}"])
    prepare([f"plugins=[{plugin}]", f"defense={NAME}", "defense.field=3"])


def test_plugin_takes_part_in_a_sweep(plugin: Path) -> None:
    prepare([f"plugins=[{plugin}]", "-m", f"defense=none,{NAME}"])
    assert parsed(f"defense={NAME}").defense.name == NAME


def test_name_of_a_plugin_that_was_not_loaded_is_unknown() -> None:
    with pytest.raises(BenchError, match=f"Unknown defense '{NAME}'"):
        prepare([f"defense={NAME}"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cloakbench defense=dla", ["defense=dladiff"]),
        ("cloakbench attack=lora attack.ra", ["attack.rank="]),
        ("cloakbench model=facelet-", ["model=facelet-1", "model=facelet-2"]),
    ],
)
def test_the_shell_completes_the_command(line: str, expected: list[str]) -> None:
    """As a shell asks, through the variables that it sets."""
    asked = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    command = [sys.executable, "-m", "bench", "-sc", "query=bash"]
    done = subprocess.run(command, cwd=CONF.parent, env=asked, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected
