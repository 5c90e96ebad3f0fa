"""The workflows: whose code they run, with which rights, and that nothing in them can be moved under their feet."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.contexts import ROOT

FOLDER = ROOT / ".github"
NAMES = sorted(path.stem for path in (FOLDER / "workflows").glob("*.yml"))
LOCKS = ("board", "docs")


def workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((FOLDER / "workflows" / f"{name}.yml").read_text())
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def locked(name: str) -> dict[str, str]:
    """Name -> version."""
    lines = (FOLDER / "requirements" / f"{name}.txt").read_text().splitlines()
    found = [re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}", line) for line in lines if line[0] != "#"]
    assert all(found), "nothing but names, versions and hashes"
    return {each[1]: each[2] for each in found if each}


def test_all_workflows_are_looked_at() -> None:
    assert NAMES == ["ci", "pages", "release", "submission"]


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_by_commit_and_keep_no_credentials(name: str) -> None:
    text = (FOLDER / "workflows" / f"{name}.yml").read_text()
    used = re.findall(r"uses: (.+)", text)
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    pins = [
        action.split("@")
        for file in (FOLDER / "workflows").glob("*.yml")
        for action in re.findall("uses: (.+)", file.read_text())
    ]
    assert len({action for action, _ in pins}) == len({(action, commit) for action, commit in pins}), "one of each"
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", NAMES)
def test_workflows_have_no_secrets_and_few_rights(name: str) -> None:
    text = (FOLDER / "workflows" / f"{name}.yml").read_text()
    assert "secrets." not in text
    assert workflow(name)["permissions"] == {"contents": "read"}
    writing = {job for job, facts in workflow(name)["jobs"].items() if "write" in str(facts.get("permissions"))}
    assert writing == {"pages": {"publish"}, "release": {"build"}}.get(name, set())
    assert not any("${{" in step.get("run", "") for step in steps(name)), "a title is no code"


def test_a_submission_is_checked_by_the_target_branch_s_workflow_and_code() -> None:
    """`pull_request` would take the workflow from the pull request; what it brings is never run."""
    found = workflow("submission")
    trigger = found[True]  # YAML takes "on" for yes
    assert list(trigger) == ["pull_request_target"]
    assert set(trigger["pull_request_target"]) == {"types"}, (
        "no paths: of a large pull request GitHub looks at a part alone"
    )
    assert {"opened", "synchronize", "reopened", "labeled"} == set(trigger["pull_request_target"]["types"])
    rules, proposal = [step["with"] for step in steps("submission") if "checkout" in step.get("uses", "")]
    assert (rules["path"], rules["ref"]) == ("rules", "${{ github.event.pull_request.base.sha }}")
    assert (proposal["path"], proposal["ref"]) == ("proposal", "${{ github.event.pull_request.head.sha }}")
    assert proposal["sparse-checkout"] == "/results/"
    for step in steps("submission"):
        if "run" in step and "git diff" not in step["run"]:
            assert step.get("working-directory") == "rules" or "--requirement rules/" in step["run"]
    assert not any("cache" in str(step) for step in steps("submission")), "a cache is shared with other workflows"


def test_a_maintainer_s_label_counts_for_the_commits_that_are_there() -> None:
    (flag,) = [step["env"]["MAINTAINER"] for step in steps("submission") if "MAINTAINER" in step.get("env", {})]
    conditions = "github.event.action == 'labeled' && github.event.label.name == 'results-by-maintainer'"
    assert flag == f"${{{{ {conditions} && '--maintainer' || '' }}}}"


def test_what_reads_entries_of_strangers_listens_to_no_command() -> None:
    reading = [step["run"] for step in steps("submission") if "python -m leaderboard" in step.get("run", "")]
    assert len(reading) == 2
    for script in reading:
        assert script.index("::stop-commands::$word") < script.index("python -m leaderboard")
        assert script.startswith('word="$(openssl rand -hex 16)"')


def test_pages_are_validated_before_they_are_built() -> None:
    script = "\n".join(step.get("run", "") for step in steps("pages"))
    assert script.index("leaderboard validate --all results") < script.index("leaderboard build results")


@pytest.mark.parametrize("name", ["submission", "pages"])
def test_what_handles_entries_installs_what_is_locked(name: str) -> None:
    installs = [
        line for step in steps(name) for line in step.get("run", "").splitlines() if "pip" in line and "install" in line
    ]
    assert installs
    for line in installs:
        pinned = "--require-hashes" in line or re.search(r"torch==\S+ torchvision==\S+ --index-url", line)
        assert pinned or line.endswith("--no-deps --editable ."), line


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_versions_that_the_package_allows(name: str) -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = locked(name)
    asked = [Requirement(text) for text in project["dependencies"]]
    checked = [each for each in asked if each.name.lower().replace("_", "-") in found]
    assert len(checked) >= 7
    for each in checked:
        assert each.specifier.contains(found[each.name.lower().replace("_", "-")]), each
    if name == "docs":
        missing = {each.name.lower().replace("_", "-") for each in asked} - found.keys()
        assert missing == {"torch"}
