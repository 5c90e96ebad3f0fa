"""The command line: what Hydra takes is taken, what is meant is understood, the rest is told before anything runs."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import bench
from bench.__main__ import COMMANDS, main
from bench.config.compose import prepare, settings_of
from bench.config.parsing import parse
from bench.config.schema import RunSettings
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.registry import build
from defenses.precomputed import Precomputed
from tests.support.contexts import ROOT

GROUPS = ["defense", "attack", "countermeasure", "data", "model", "suite", "metric", "logger"]
FOLDER = ["data=folder", "data.root=photos"]


def refused(*words: str) -> BenchError:
    with pytest.raises(BenchError) as caught:
        prepare(words)
    assert "Traceback" not in str(caught.value)
    return caught.value


# --- several values where one is meant ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "in_turn", "in_one_run"),
    [
        ("attack=[dreambooth,lora]", "-m attack=dreambooth,lora", "suite.attacks=[dreambooth,lora]"),
        ("defense=[aspl,mist]", "-m defense=aspl,mist", "suite.defenses=[aspl,mist]"),
        ("data=[lfw,synthetic]", "-m data=lfw,synthetic", ""),
        ("model=[facelet-1,facelet-2]", "-m model=facelet-1,facelet-2", ""),
        ("metric=[embedded,full]", "-m metric=embedded,full", ""),
        ("logger=[csv,none]", "-m logger=csv,none", ""),
        ("suite=[lite,smoke]", "-m suite=lite,smoke", ""),
        ("budget=[8,16]", "-m budget=8,16", "suite.budgets=[8,16]"),
        ("seed=[0,1]", "-m seed=0,1", ""),
        ("model.steps=[2,20]", "-m model.steps=2,20", ""),
        ("model.precision=[fp32,bf16]", "-m model.precision=fp32,bf16", ""),
        ("out=[a,b]", "-m out=a,b", ""),
        ("attack=dreambooth,lora", "-m attack=dreambooth,lora", "suite.attacks=[dreambooth,lora]"),
        ("seed=range(0,3)", "-m 'seed=range(0,3)'", ""),
    ],
)
def test_several_values_where_one_is_meant_are_refused(word: str, in_turn: str, in_one_run: str) -> None:
    assert in_turn in refused(word).fix
    assert in_one_run in refused(word).fix


def test_several_values_are_refused_in_a_sweep_and_in_a_file_too(tmp_path: Path) -> None:
    assert "suite.attacks=[dreambooth,lora]" in refused("-m", "attack=none,[dreambooth,lora]").fix
    (tmp_path / "twice.yaml").write_text("defaults: [config, override attack: [lora, dreambooth], _self_]\n")
    error = refused("--config-dir", str(tmp_path), "--config-name", "twice")
    assert error.message == "twice lists several options of attack: lora, dreambooth."
    prepare(["--config-dir", str(tmp_path), "--config-name", "twice", "attack=lora"])


def test_several_values_of_a_method_s_setting_are_refused() -> None:
    with pytest.raises(BenchError, match=r"Bad setting defense\.label=\['a', 'b'\]") as caught:
        build(Precomputed, {"label": ["a", "b"], "root": "x"}, "defense.")
    assert "-m defense.label=a,b" in caught.value.fix


@pytest.mark.parametrize(
    "words", [["attack=[lora]"], ["countermeasure=[resize,jpeg]"], ["-m", "attack=lora,dreambooth"]]
)
def test_a_list_of_one_and_what_is_a_list_are_taken(words: list[str]) -> None:
    prepare(words)


def test_a_list_for_a_text_without_m_is_told_as_list_or_as_text() -> None:
    assert "'data.root=\"/p/a,b\"'" in refused("data=folder", "data.root=/p/a,b").fix
    assert "'data.identities=[ada,bob]'" in refused(*FOLDER, "data.identities=ada,bob").fix


# --- one value is a list of one, a number is a name -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "place", "value"),
    [
        ("controls=noise", "controls", ("noise",)),
        ("controls=", "controls", ()),
        ("suite.budgets=8", "suite.budgets", (8.0,)),
        ("suite.attacks=lora", "suite.attacks.0.name", "lora"),
        ("suite.attacks={name: lora, rank: 8}", "suite.attacks.0.settings", {"rank": 8}),
        ("suite.attacks=[1e3]", "suite.attacks.0.name", "1e3"),
        ("suite.defenses=104", "suite.defenses.0.name", "104"),
        ("suite.countermeasures=jpeg", "suite.countermeasures.0.0.name", "jpeg"),
        ("suite.countermeasures=[resize,[blur,jpeg]]", "suite.countermeasures.1.1.name", "jpeg"),
        ("+suite.parts={a: {attacks: lora}}", "suite.parts.a.attacks.0.name", "lora"),
        ("metric.recognisers=buffalo_l", "metric.recognisers", ("buffalo_l",)),
        ("metric.quality=[007,1e3]", "metric.quality", ("007", "1e3")),
        ("surrogates=facelet-2", "surrogates.0.name", "facelet-2"),
        ("protocol.prompts='a {subject}'", "protocol.prompts", ("a {subject}",)),
        ("plugins=", "plugins", ()),
        ("device=cpu", "device", "cpu"),
        ("device=[cpu]", "device", ("cpu",)),
        ("out=5", "out", "5"),
        ("out=1e3", "out", "1e3"),
        ("out=true", "out", "true"),
        ("out=null", "out", None),
        ("store=007", "store", "007"),
        ("model.name=1_000", "model.name", "1_000"),
        ("model.revision=1e3", "model.revision", "1e3"),
        (
            "data.identities=[104,007,0x10,true,null,ada]",
            "data.settings.identities",
            [104, "007", "0x10", "true", "null", "ada"],
        ),
    ],
)
def test_what_is_meant_is_understood(word: str, place: str, value: Any) -> None:
    at: Any = settings_of([word])
    for part in place.split("."):
        at = at[int(part)] if part.isdigit() else at[part] if isinstance(at, dict) else getattr(at, part)
    assert at == value


def test_settings_of_methods_are_understood_too() -> None:
    from bench.data.folder import Folder
    from defenses.dladiff import DLADiff

    settings = settings_of([*FOLDER, "data.identities=[104,1_0]", "data.exclude=bob", "data.licence=1e3"]).data.settings
    folder = build(Folder, settings)
    assert (folder.identities, folder.exclude, folder.licence) == (("104", "1_0"), ("bob",), "1e3")
    settings = settings_of(["defense=precomputed", "defense.label=1e3", "defense.root=5"]).defense.settings
    assert build(Precomputed, settings) == Precomputed(label="1e3", root="5")
    assert build(DLADiff, settings_of(["defense.layers=1"]).defense.settings).layers == (1,)


def test_numbers_in_files_are_names_and_what_has_lost_its_text_is_refused() -> None:
    with initialize_config_module("conf", version_base="1.3"):
        plain: Any = OmegaConf.to_container(compose("config"))
    assert parse({**plain, "controls": [104]}).controls == ("104",)
    assert parse({**plain, "countermeasure": "jpeg"}).countermeasure[0].name == "jpeg"
    with pytest.raises(BenchError, match=r"controls\.0=1000\.0") as caught:
        parse({**plain, "controls": [1e3]})
    assert "in quotes" in caught.value.fix


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["suite.attacks=[loraa]"], "loraa"),
        (["attack=5"], "Unknown attack '5'."),
        (["attack=1e3"], "Unknown attack '1e3'."),
        (["plugins=cloak_of_nobody.py"], "cloak_of_nobody.py"),
        (["plugins=[cloak_of_nobody.py]"], "cloak_of_nobody.py"),
    ],
)
def test_a_name_in_a_message_is_the_name_that_was_typed(words: list[str], message: str) -> None:
    if words[0].startswith("suite"):
        assert settings_of(words).suite.attacks[0].name == message  # type: ignore[index]
    else:
        assert message in refused(*words).message


# --- nothing, and what is no value ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "value"), [*((group, "null") for group in GROUPS), ("attack", ""), ("attack", "[]")])
def test_a_group_without_a_value_is_told_what_is_allowed(group: str, value: str) -> None:
    error = refused(f"{group}={value}")
    assert error.message == f"{group} has no value."
    assert {"defense": "defense=dladiff", "suite": "suite=lite"}.get(group, f"{group}=") in error.fix


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "countermeasure"])
def test_a_group_that_was_deleted_is_told(group: str) -> None:
    if group == "metric":  # has a default of its own
        prepare([f"~{group}"])
    else:
        assert refused(f"~{group}").message == f"{group} has no value."


NULLABLE = {name for name, field in RunSettings.model_fields.items() if field.default is None}


@pytest.mark.parametrize("name", sorted(RunSettings.model_fields.keys() - {*GROUPS} - NULLABLE))
def test_a_setting_set_to_nothing_is_named(name: str) -> None:
    error = refused(f"{name}=null")
    assert f"{name}=null" in error.message
    assert error.fix


@pytest.mark.parametrize(
    ("word", "named", "fix"),
    [
        ("protocol=3", "protocol=3", "protocol.prompts="),
        ("protocol.prompts=null", "protocol.prompts=null", "[]"),
        ("suite.parts=null", "suite.parts=null", "{}"),
        ("+suite.parts.a=null", "suite.parts.a=null", ""),
        ("suite.parts.a=null", "suite.parts.a", "+suite.parts.a="),
        ("suite.defenses=[{budget: 3}]", "suite.defenses.0.name=null", ""),
        ("attack={name: lora, rank: 8}", "attack takes a name", "attack=lora attack.rank=8"),
        ("hydra=null", "hydra has no value", ""),
        ("hydra.run=null", "hydra.run", "not Optional"),
        ("out=${nowhere}", "out", "${name}"),
        ("protocol.far.x=3", "protocol.far.x", "protocol.far"),
        ("+budget=3", "budget is there already", "budget=3"),
        ("+attack=lora", "attack is chosen already", "attack="),
        ("++attack=lora", "attack is there already", "attack=lora"),
        ("~budgett", "'budgett'", "budget"),
        ("=3", "''", "key=value"),
    ],
)
def test_what_is_no_value_is_told(word: str, named: str, fix: str) -> None:
    assert named in refused(word).message
    assert fix in refused(word).fix


def test_an_empty_text_is_no_value_where_one_must_be_given() -> None:
    assert refused("data=folder", "data.root=").message == "data.root has no value."


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/photos/José (1)", "/p/O'Brien & co.", '/p/"x"\\', "~/x!", "张;#=%"])
def test_what_is_printed_for_a_place_is_taken_and_means_the_place(place: str) -> None:
    (typed,) = shlex.split(refused("data=folder", f"data.root={place}").fix.removeprefix("Type: "))
    assert settings_of(["data=folder", typed]).data.settings["root"] == str(expanded(place))


def test_brackets_are_part_of_a_text_and_make_a_list_of_names() -> None:
    assert "'data.root=\"[é]\"'" in refused("data=folder", "data.root=[é]").fix
    assert "'data.identities=[\"é\"]'" in refused(*FOLDER, "data.identities=[é]").fix


# --- Hydra's own ways -----------------------------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of a user's own configurations."""
    (tmp_path / "attack").mkdir()
    (tmp_path / "attack" / "mine.yaml").write_text("defaults: [lora]\nrank: 3\n")
    (tmp_path / "run.yaml").write_text("defaults: [config, override attack: mine, _self_]\nbudget: 12\n")
    return tmp_path


def test_a_folder_of_own_configurations_is_searched(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mine" not in refused("attack=mine").fix
    for words in (
        ["--config-dir", str(mine), "attack=mine"],
        [f"--config-dir={mine}", "attack=mine"],
        ["-cd", str(mine), "attack=mine"],
        ["attack=mine", f"hydra.searchpath=[file://{mine}]"],
        [f"hydra.searchpath=file://{mine}", "attack=mine"],
        ["--config-dir", str(mine), "--config-name", "run"],
        ["-cd", str(mine), "-cn", "run"],
    ):
        attack = settings_of(words).attack
        assert (attack.name, attack.settings["rank"]) == ("lora", 3), words
    assert settings_of(["-cd", str(mine), "-cn", "run"]).budget == 12
    assert prepare(["-m", "-cd", str(mine), "attack=mine,lora", "attack.rank=4,8"])[1]
    error = refused("-cd", str(mine), "attack=min")
    assert "Did you mean 'mine'?" in error.fix
    monkeypatch.chdir(mine.parent)
    assert settings_of(["-cd", mine.name, "attack=mine"]).attack.settings["rank"] == 3


def test_a_primary_folder_begins_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.yaml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path)
    assert f"--config-path={tmp_path / 'own'}" in prepare(["--config-path", "own", "--cfg", "job"])[0]
    assert "not found" in refused("--config-path", "nowhere").message


@pytest.mark.parametrize(
    ("words", "sweep"),
    [
        (["-m", "attack=glob(*)"], True),
        (["-m", "attack=choice(lora,dreambooth)", "seed=range(0,3)"], True),
        (["budget=8,16", "--multirun"], True),
        (["attack=lora", "-m", "budget=8,16"], True),
        (["-m", "protocol.prompts=['a {subject}, b'],['c {subject}']"], True),
        (["hydra.mode=MULTIRUN", "budget=8,16"], True),
        (["-m", "suite.attacks=lora,[lora,dreambooth]"], True),
        (["++budget=8", "+suite.parts={}"], False),
        (["~protocol.far"], False),
        (["--cfg", "job", "data=folder"], False),
        (["--cfg", "job", "--resolve", "-p", "attack"], False),
        (["--info", "defaults", "attack=lora"], False),
        (["--help"], False),
        (["out='${hydra:job.num}-${now:%Y}-${seed}'"], False),
        (["-sc", "query=bash"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_hydra_takes_is_taken(words: list[str], sweep: bool) -> None:
    arguments, is_sweep = prepare(words)
    assert (sorted(arguments), is_sweep) == (sorted(words), sweep)


@pytest.mark.parametrize(
    ("words", "message", "fix"),
    [
        (["--bogus"], "There is no option --bogus.", "without dashes"),
        (["--budget=8"], "There is no option --budget=8.", "budget=8"),
        (["-m", "--cfg", "job"], "--multirun and --cfg exclude each other.", "one"),
        (["--resolve"], "--resolve says how --cfg and --help print.", "with one"),
        (["--config-dir", "nowhere"], "--config-dir=nowhere: there is no such folder.", "nowhere"),
        (["--config-name", "confg"], "Unknown configuration 'confg'.", "Did you mean 'config'?"),
        (["--help", "attack=loraa"], "Unknown attack 'loraa'.", "'lora'"),
        (["-m", "attack=glob(zz*)"], "attack=glob(zz*) has no values.", "dreambooth"),
        (["-m", "seed=range(3,3)"], "seed=range(3,3) has no values.", ""),
        (["-m", "seed=interval(1,3)"], "seed=interval(1,3): without another sweeper, values are a list or", "seed=1,2"),
        (["-m", "hydra/launcher=basic,joblib"], "hydra/launcher=basic,joblib has several values.", "one"),
        (["hydra.mode=both"], "Bad setting hydra.mode=both.", "MULTIRUN"),
        (["-m", "model=facelet-1,facelet1"], "Unknown model 'facelet1'.", "the job with model=facelet1"),
        (["-m", "budget=8,300"], "Bad setting budget=300.", "the job with budget=300"),
        (["-m", "attack=lora,dreambooth", "attack.rank=4"], "Unknown setting 'attack.rank'.", "with attack=dreambooth"),
        (["-m", "data=synthetic,folder"], "data.root has no value.", "with data=folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_hydra_does_not_take_is_told_in_our_words(words: list[str], message: str, fix: str) -> None:
    error = refused(*words)
    assert error.message.startswith(message)
    assert fix in error.fix


@pytest.mark.parametrize(
    ("word", "package"),
    [
        ("hydra/launcher=ray", "'cloakbench[ray]'"),
        ("hydra/launcher=rq", "hydra-rq-launcher"),
        ("hydra/sweeper=optuna", "hydra-optuna-sweeper"),
        ("hydra/sweeper=ax", "hydra-ax-sweeper"),
        ("hydra/job_logging=colorlog", "hydra-colorlog"),
    ],
)
def test_a_plugin_of_hydra_that_is_not_installed_says_how_to_get_it(word: str, package: str) -> None:
    error = refused("-m", word, "seed=1,2")
    assert error.message == f"{word} is not installed."
    assert error.fix == f"Get it with: pip install {package}"


def test_the_extras_that_are_named_exist() -> None:
    import tomllib

    from bench.config.explain import EXTRAS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {extra[len("'cloakbench[") : -2] for extra in EXTRAS.values() if "cloakbench" in extra}
    assert named == {"joblib", "ray", "slurm"} <= project["optional-dependencies"].keys()


def test_several_settings_are_none_for_one_run() -> None:
    with pytest.raises(BenchError, match="Several runs"):
        settings_of(["-m", "seed=1,2"])


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--version", "--vers"])
def test_version_is_ours(option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench", option])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"cloakbench {bench.__version__}\n"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunSettings, list[str]]]:
    """Settings and words of the jobs that `main` runs; nothing is computed."""
    begun: list[tuple[RunSettings, list[str]]] = []

    def run(settings: RunSettings, console: object, words: list[str], job: object) -> int:
        begun.append((settings, words))
        return 0

    monkeypatch.setattr("bench.runner.run.run", run)
    monkeypatch.chdir(tmp_path)
    return begun


def test_hydra_runs_what_was_meant(
    mine: Path, jobs: list[tuple[RunSettings, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options may stand anywhere, names keep their text, and the words are enough to do a job again."""
    words = ["attack=mine", "-m", "out=1e3,007", "--config-dir", str(mine), "data.identities=[1e3]"]
    monkeypatch.setattr("sys.argv", ["bench", *words])
    assert main() == 0
    assert [settings.out for settings, _ in jobs] == ["1e3", "007"]
    for settings, again in jobs:
        assert settings.data.settings["identities"] == ["1e3"]
        assert settings.attack.settings["rank"] == 3
        assert settings_of(again) == settings


def test_other_commands_are_subcommands_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cloakbench", "list", "loggers"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "wandb" in capsys.readouterr().out


def test_every_subcommand_is_a_command() -> None:
    assert all(importlib.util.find_spec(f"bench.{name}") for name in COMMANDS)
