"""Networks by themselves: found, hashed, and what is wrong with them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.models.weights.files import ZOO
from bench.models.weights.published import Missing
from bench.models.weights.single import CONFIG, WEIGHTS, locate_network
from tests.support import tiny

SETTING = "countermeasure.diff_pure.weights"


def located(source: str) -> str:
    return locate_network("the prior", source, SETTING, ZOO / "countermeasures" / "prior").fingerprint


def test_the_shipped_one_and_a_folder_have_their_own_fingerprints(tmp_path: Path) -> None:
    assert located("zoo") != located(str(tiny.vae_folder(tmp_path)))


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_every_file_counts_and_must_be_there(name: str, tmp_path: Path) -> None:
    folder = tiny.vae_folder(tmp_path)
    before = located(str(folder))
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert located(str(folder)) != before
    (folder / name).unlink()
    with pytest.raises(BenchError, match=f"lacks {name}"):
        located(str(folder))


def test_pickled_weights_beside_are_refused_where_they_would_be_loaded(tmp_path: Path) -> None:
    folder = tiny.vae_folder(tmp_path)
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(BenchError, match="lacks"):
        located(str(folder))


def test_what_would_load_another_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.vae_folder(tmp_path)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(BenchError, match="names another model"):
        located(str(folder))


def test_what_is_not_there_is_told_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=SETTING):
        located(str(tmp_path / "nowhere"))


def test_a_hub_id_can_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Missing, match="somebody/a-vae") as caught:
        located("somebody/a-vae")
    (wanted,) = caught.value.wanted
    assert (wanted.place, {CONFIG, WEIGHTS} <= {*wanted.files}) == ("somebody/a-vae", True)
