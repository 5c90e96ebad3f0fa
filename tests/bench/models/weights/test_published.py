"""Published weights: found where others keep them, never downloaded unasked, and told of with size and licence."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attacks import ATTACKS
from bench import fetch
from bench.config.compose import settings_of
from bench.core.errors import BenchError
from bench.core.hashing import sha256_file
from bench.evaluation.auxiliary import PackWitness
from bench.models.adapters.locate import locate_adapter
from bench.models.faces.insightface import locate_pack
from bench.models.weights.checkpoint import locate
from bench.models.weights.published import (
    ADAPTERS,
    PACKS,
    PINNED,
    Missing,
    Published,
    gigabytes,
    insightface_home,
    together,
)
from defenses import DEFENSES
from tests.support.plans import planned

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of the hub and of insightface, and no network."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("bench.models.weights.published.insightface_home", lambda: tmp_path / "packs")
    monkeypatch.setattr("bench.fetch.insightface_home", lambda: tmp_path / "packs")
    return tmp_path


def in_cache(root: Path, hub_id: str, *files: str) -> Path:
    """Files in the hub's cache, as its client lays them out."""
    repository = root / "hub" / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for file in files:
        path = repository / "snapshots" / COMMIT / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    return repository / "snapshots" / COMMIT


def test_the_home_of_insightface_is_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attacks, scoring and fetching look in the same folder."""
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, home in ((None, ".insightface"), ("~/faces", "faces"), (str(tmp_path / "x"), "x")):
        monkeypatch.delenv("INSIGHTFACE_HOME", raising=False)
        if value:
            monkeypatch.setenv("INSIGHTFACE_HOME", value)
        folder = tmp_path / home / "models" / "buffalo_l"
        with pytest.raises(Missing, match="buffalo_l is not on this machine"):
            locate_pack("buffalo_l")
        with pytest.raises(Missing, match="buffalo_l is not on this machine"):
            _ = PackWitness("buffalo_l").pack
        folder.mkdir(parents=True)
        for name in ("det.onnx", "rec.onnx"):
            (folder / name).write_bytes(b"x")
        assert locate_pack("buffalo_l").path == PackWitness("buffalo_l").pack.path == folder
        assert insightface_home() == folder.parent


# --- where they are -------------------------------------------------------------------------------------------------


def test_a_model_that_is_not_here_tells_place_size_licence_and_copies() -> None:
    with pytest.raises(Missing) as caught:
        locate("sdxl", "stabilityai/stable-diffusion-xl-base-1.0", mirrors=["somebody/copy"])
    assert "13.9 GB, licence: CreativeML OpenRAIL++-M" in caught.value.message
    assert "bench.fetch" in caught.value.fix
    assert "model.source=somebody/copy" in caught.value.fix
    assert [item.title for item in caught.value.wanted] == ["The model sdxl"]
    with pytest.raises(Missing, match="size unknown"):
        locate("mine", "nobody/nothing")


PARTS = {"unet": "x.safetensors", "vae": "x.safetensors", "text_encoder": "x.safetensors"} | {
    "tokenizer": "vocab.json",
    "scheduler": "scheduler_config.json",
}


@pytest.mark.parametrize("broken", ["model_index.json", "unet/x.safetensors", "scheduler/scheduler_config.json"])
def test_a_model_whose_download_was_broken_off_is_not_here(broken: str, caches: Path) -> None:
    hub_id, files = "owner/model", [f"{part}/{name}" for part, name in PARTS.items()]
    folder = in_cache(caches, hub_id, "unet/config.json", *files)
    (folder / "model_index.json").write_text(json.dumps(dict.fromkeys(PARTS)))
    assert locate("mine", hub_id).path == folder
    (folder / broken).unlink()
    with pytest.raises(Missing, match="not all of it") as caught:
        locate("mine", hub_id)
    assert [item.place for item in caught.value.wanted] == [hub_id]


def test_the_second_text_encoder_that_the_index_names_must_be_here(caches: Path) -> None:
    folder = in_cache(caches, "owner/xl", *(f"{part}/{name}" for part, name in PARTS.items()))
    (folder / "model_index.json").write_text(json.dumps(dict.fromkeys([*PARTS, "text_encoder_2", "tokenizer_2"])))
    with pytest.raises(Missing):
        locate("mine", "owner/xl")


def test_weights_that_are_not_hashed_do_not_count(tmp_path: Path) -> None:
    for part, name in PARTS.items():
        (tmp_path / "model" / part).mkdir(parents=True)
        (tmp_path / "model" / part / name).write_bytes(b"x")
    assert locate("mine", str(tmp_path / "model")).name == "mine"
    unet = tmp_path / "model" / "unet"
    (unet / "config.json").write_text("{}")
    (unet / "x.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    with pytest.raises(BenchError, match=r"lacks unet/\*\.safetensors"):
        locate("mine", str(tmp_path / "model"))


def test_an_adapter_is_found_in_the_cache_with_the_image_encoder_that_several_share(caches: Path) -> None:
    with pytest.raises(Missing) as caught:
        locate_adapter("ip-adapter-plus", None, "sd15")
    assert [item.title for item in caught.value.wanted] == ["ip-adapter-plus_sd15", "The image encoder CLIP ViT-H/14"]
    folder = in_cache(caches, "h94/IP-Adapter", "models/ip-adapter-plus_sd15.safetensors")
    with pytest.raises(Missing, match="image encoder") as caught:
        locate_adapter("ip-adapter-plus", None, "sd15")
    assert len(caught.value.wanted) == 1
    in_cache(caches, "h94/IP-Adapter", "models/image_encoder/config.json", "models/image_encoder/model.safetensors")
    adapter = locate_adapter("ip-adapter-plus", None, "sd15")
    assert adapter.weights == folder / "models" / "ip-adapter-plus_sd15.safetensors"
    assert adapter.image_encoder == folder / "models" / "image_encoder"
    assert locate_adapter("ip-adapter-plus", "sd15", "my-finetune") == adapter


def test_an_adapter_that_nobody_published_for_a_base_says_for_which_they_did() -> None:
    for base in ("sd15", "sd21"):
        with pytest.raises(BenchError, match=f"for the base model|{base}, and none are published") as caught:
            locate_adapter("instantid", None, base)
        assert not isinstance(caught.value, Missing)
        assert "the base whose weights fit: sdxl" in caught.value.fix


@pytest.mark.parametrize(("name", "base"), ADAPTERS)
def test_every_published_adapter_is_complete_once_its_files_are_here(name: str, base: str, caches: Path) -> None:
    entry = ADAPTERS[name, base]
    for item in [entry.files, *([entry.encoder] if entry.encoder else [])]:
        in_cache(caches, item.place, *item.files)
    adapter = locate_adapter(name, base, "another")
    assert adapter.weights.name == Path(entry.main).name
    assert adapter.weights.is_file()
    assert entry.encoder is None or (adapter.image_encoder / "model.safetensors").is_file()


def test_a_pack_of_insightface_is_found_where_it_keeps_them_one_level_down_too(caches: Path) -> None:
    with pytest.raises(Missing, match=r"antelopev2.*0\.36 GB.*non-commercial"):
        locate_pack("antelopev2")
    nested = caches / "packs" / "antelopev2" / "antelopev2"
    nested.mkdir(parents=True)
    (nested / "net.onnx").write_bytes(b"x")
    assert locate_pack("antelopev2").path == nested


def test_published_settings_name_the_recognisers_of_the_published_weights() -> None:
    wanted = {"faceid": "buffalo_l", "faceid-plusv2": "buffalo_l", "plus-face": "buffalo_l", "base": None, "plus": None}
    for variant, pack in wanted.items():
        assert ATTACKS.create("ip_adapter", {"variant": variant}).resolved("sd").recogniser == pack  # type: ignore[attr-defined]
    assert ATTACKS.create("instantid", {}).resolved("sdxl").recogniser == "antelopev2"  # type: ignore[attr-defined]
    assert ATTACKS.create("instantid", {"recogniser": "mine"}).resolved("sdxl").recogniser == "mine"  # type: ignore[attr-defined]
    assert ATTACKS.create("photomaker", {}).resolved("sdxl").recogniser is None  # type: ignore[attr-defined]
    second = ATTACKS.create("photomaker", {"weights": "sdxl-v2"}).resolved("sdxl")
    assert second.recogniser == "buffalo_l"  # type: ignore[attr-defined]
    for name in ("dladiff", "idprotector_pgd", "adapter_shield", "faceshield", "idguardian"):
        assert "buffalo_l" in DEFENSES.create(name, {}).resolved("sd").recognisers  # type: ignore[attr-defined]


# --- telling of all at once -----------------------------------------------------------------------------------------


def test_together_tells_of_everything_that_failed_and_once() -> None:
    def fails(error: BenchError) -> Any:
        def action() -> int:
            raise error

        return action

    assert together([lambda: 1, lambda: 2]) == [1, 2]
    plain = BenchError("one", "mend one")
    with pytest.raises(BenchError) as caught:
        together([lambda: 1, fails(plain)])
    assert caught.value is plain
    missing = Missing([PACKS["buffalo_l"]])
    with pytest.raises(Missing) as several:
        together([fails(plain), fails(missing), fails(missing)])
    assert several.value.message.splitlines() == ["one", missing.message]
    assert several.value.wanted == (PACKS["buffalo_l"],)
    assert several.value.fix.splitlines() == ["mend one", missing.fix]
    with pytest.raises(BenchError) as more:
        together([fails(BenchError("a", "Fetch it.")), fails(BenchError("b", "Fetch it, or give it."))])
    assert more.value.fix == "Fetch it, or give it."


def test_a_dry_run_tells_of_everything_and_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from bench.runner.run import run

    words = ["model=sd15", "defense=dladiff", "attack=instantid", "dry_run=true", "logger=none"]
    told = io.StringIO()
    assert run(settings_of(words), Console(file=told, width=300)) == 0
    text = told.getvalue()
    for wanted in ("4.3 GB", "0.29 GB", "0.36 GB", "CreativeML OpenRAIL-M", "non-commercial research only"):
        assert wanted in text
    for place in ("stable-diffusion-v1-5/stable-diffusion-v1-5", "buffalo_l.zip", "antelopev2.zip"):
        assert place in text
    assert "No instantid weights come with the base model sd15" in text
    assert "PFLOP" in text
    assert "0 cells" in text
    assert {item.title for item in fetch.missing(settings_of(words))} == {
        "The model sd15",
        "The face recogniser buffalo_l",
        "The face recogniser antelopev2",
    }


def test_without_a_dry_run_what_is_missing_is_an_error() -> None:
    with pytest.raises(Missing) as caught:
        planned("model=sd15", "attack=instantid", "attack.weights=sdxl")
    assert {item.title for item in caught.value.wanted} >= {"The model sd15"}


# --- fetching -------------------------------------------------------------------------------------------------------


def archive_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return buffer.getvalue()


def published(data: bytes) -> Published:
    """A pack whose published archive is this."""
    return replace(PACKS["buffalo_l"], archive_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_of_an_archive_only_networks_are_unpacked_and_none_outside(
    caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive_of("buffalo_l/det.onnx", "../../rec.onnx", "buffalo_l/run.py")
    monkeypatch.setattr("urllib.request.urlopen", lambda place: io.BytesIO(data))
    folder = fetch.download(published(data))
    assert sorted(file.name for file in folder.iterdir()) == ["det.onnx", "rec.onnx"]
    assert locate_pack("buffalo_l").path == folder
    assert not list(caches.parent.glob("rec.onnx"))


def test_half_an_archive_is_no_pack(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive_of("det.onnx", "rec.onnx")
    other = archive_of("det.onnx", "bad.onnx")
    assert len(other) == len(whole), "so its hash alone tells"
    for data in (other, whole[: len(whole) // 2], whole + b"\0"):
        monkeypatch.setattr("urllib.request.urlopen", lambda place, data=data: io.BytesIO(data))
        with pytest.raises(BenchError, match="is not the archive that was published"):
            fetch.download(published(whole))
        with pytest.raises(Missing):
            locate_pack("buffalo_l")
        assert not list((caches / "packs").iterdir()), "nothing of it is kept"
    endless = SimpleNamespace(read=lambda count: b"\0" * count)  # a server that never ends fills no disk
    monkeypatch.setattr("urllib.request.urlopen", lambda place: contextlib.nullcontext(endless))
    with pytest.raises(BenchError, match="is not the archive that was published"):
        fetch.download(published(whole))
    monkeypatch.setattr("urllib.request.urlopen", lambda place: io.BytesIO(whole))
    fetch.download(published(whole))
    assert locate_pack("buffalo_l").path.name == "buffalo_l"


def test_archives_are_pinned_by_hash_and_size_and_models_by_commit() -> None:
    assert all(len(pack.sha256) == 64 and pack.archive_bytes > 10**8 for pack in PACKS.values())
    assert all(len(commit) == 40 for commit in PINNED.values())
    assert Published("x", "h94/IP-Adapter").commit == PINNED["h94/IP-Adapter"]
    assert Published("x", "h94/IP-Adapter", revision="b" * 40).commit == "b" * 40
    assert Published("x", "owner/name").commit is None


def test_the_pinned_commit_is_fetched(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    folder = in_cache(caches, "h94/IP-Adapter")

    def snapshot(place: str, revision: str | None, **_: Any) -> str:
        asked.append(revision)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=[]))
    fetch.download(Published("x", "h94/IP-Adapter"))
    assert asked == [PINNED["h94/IP-Adapter"]]


def test_a_file_that_is_not_what_the_hub_states_is_thrown_away(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = Published("Something", "owner/name", ("a.bin", "b.bin"))
    folder = in_cache(caches, item.place, *item.files)
    stated = {"a.bin": sha256_file(folder / "a.bin"), "b.bin": "0" * 64}
    siblings = [SimpleNamespace(rfilename=name, lfs=SimpleNamespace(sha256=sha)) for name, sha in stated.items()]
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=siblings))
    with pytest.raises(BenchError, match=r"b\.bin of owner/name came damaged"):
        fetch.download(item)
    assert [file.name for file in folder.iterdir()] == ["a.bin"]
    siblings.pop()
    assert fetch.download(item) == folder


def test_no_connection_is_told_and_the_others_are_still_tried(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=sd15", "attack=dreambooth", "defense=dladiff"]
    assert fetch.main(words) == 1
    told = capsys.readouterr().out
    assert told.count("could not be downloaded") == 3
    assert "what is here is kept" in told


def test_sizes_for_people() -> None:
    assert gigabytes(0.0) == "size unknown"
    assert gigabytes(4.3) == "about 4.3 GB"


def test_what_scoring_lacks_is_fetched_too(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["metric.recognisers=[facelet-id-a,buffalo_l,antelopev2]", "metric.quality=[blur,clip_score]"]
    lacking = fetch.missing(settings_of(words))
    assert [item.archive or item.place for item in lacking] == [
        *("buffalo_l", "antelopev2"),
        "openai/clip-vit-large-patch14",
    ]
    fetched: list[str] = []
    monkeypatch.setattr(fetch, "download", lambda item: fetched.append(item.title))
    assert fetch.main([*words, "dry_run=true"]) == 0
    assert fetched == []
    assert fetch.main(words) == 0
    assert fetched == [item.title for item in lacking]
    (caches / "packs" / "buffalo_l").mkdir(parents=True)
    (caches / "packs" / "buffalo_l" / "rec.onnx").write_bytes(b"x")
    in_cache(caches, "openai/clip-vit-large-patch14", "model.safetensors")
    assert fetch.missing(settings_of(words)) == [PACKS["antelopev2"]]
    assert fetch.missing(settings_of([])) == []
