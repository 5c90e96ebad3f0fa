"""What an adapter learns to say before it meets the UNet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

from bench.models.diffusion.base import DiffusionModel
from bench.zoo.train import tokens
from bench.zoo.train.adapter import projections, save_groups
from bench.zoo.train.ip_adapter import IpAdapter, fresh
from bench.zoo.train.loop import STATE
from bench.zoo.train.networks import EMBEDDING
from bench.zoo.train.photos import Faces
from bench.zoo.train.tokens import said_by, teach, train_after_imitation, unexplained
from tests.support.adapter_files import load, unload
from tests.support.training_views import faces, prepare

WIDTH = 48


def test_a_file_says_what_the_stock_adapter_of_that_file_says(base: DiffusionModel, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layout = fresh(base.unet, WIDTH, faceid=True, rank=0)
    save_groups(tmp_path / "faceid.safetensors", **layout)
    who = F.normalize(torch.randn(5, WIDTH))
    try:
        load(base, {group: {name: w.half().float() for name, w in named.items()} for group, named in layout.items()})
        with torch.no_grad():
            wanted = base.unet.encoder_hid_proj([who[:, None]])[0][:, 0]
    finally:
        unload(base)
    torch.testing.assert_close(said_by(tmp_path / "faceid.safetensors", who), wanted)


def test_cross_attention_does_not_tell_tokens_said_twice_from_once() -> None:
    torch.manual_seed(0)
    query, said = torch.randn(1, 6, 8), torch.randn(1, 4, 8)
    once, twice = (F.scaled_dot_product_attention(query, t, t) for t in (said, said.repeat(1, 2, 1)))
    torch.testing.assert_close(once, twice)


def test_a_projection_learns_what_another_says_and_only_what_its_embeddings_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokens, "STEPS", 600)
    monkeypatch.setattr(tokens, "RATE", 1e-2)
    torch.manual_seed(0)
    known, secret = torch.randn(512, 6), torch.randn(512, 6)
    wanted = torch.stack([known, secret], dim=1)  # two tokens, of which the embedding tells one
    layer = nn.Linear(6, 24)

    def project(embeddings: Tensor) -> Tensor:
        return layer(embeddings).reshape(-1, 4, 6)  # type: ignore[no-any-return]

    before = unexplained(project, known, wanted)
    teach(project, list(layer.parameters()), known[:400], wanted[:400])
    after = unexplained(project, known[400:], wanted[400:])
    assert before > 1
    assert after == pytest.approx(0.5, abs=0.1)
    said = project(known[400:])
    torch.testing.assert_close(said[:, :2], said[:, 2:], atol=0.1, rtol=0)


def test_an_ip_adapter_learns_to_say_what_faceid_says_and_its_keys_stay(
    base: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepare(base, tmp_path)
    monkeypatch.setattr(Faces, "load", lambda _: faces())
    monkeypatch.setattr(tokens, "STEPS", 40)
    teacher = tmp_path / "faceid.safetensors"
    save_groups(teacher, **fresh(base.unet, EMBEDDING, faceid=True, rank=0))
    cache = str(tmp_path / "embeddings.pt")
    adapter = IpAdapter(
        base=str(folder), photos="", latents=str(tmp_path / "latents.pt"), encoder="", faceid=False, rank=0, cache=cache
    )
    wanted = said_by(teacher, F.normalize(adapter._embeddings, dim=1))[adapter._train]
    before = unexplained(adapter.tokens, adapter._embeddings[adapter._train], wanted)
    keys = {name: value.clone() for name, value in projections(adapter._unet).items()}
    adapter.imitate(file=str(teacher), encoder="", cache=cache)
    assert unexplained(adapter.tokens, adapter._embeddings[adapter._train], wanted) < 0.2 * before
    assert all(torch.equal(value, keys[name]) for name, value in projections(adapter._unet).items())
    assert "unexplained" in capsys.readouterr().out


@pytest.mark.parametrize(("teacher", "trained", "imitates"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_imitation_comes_first_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: bool, trained: bool, imitates: int
) -> None:
    done: list[str] = []
    monkeypatch.setattr(tokens, "train", lambda *_: done.append("train"))
    adapter = SimpleNamespace(imitate=lambda file: done.append(file))
    if trained:
        (tmp_path / STATE).touch()
    schedule = {"steps": 1, "batch": 1, "lr": 1.0}
    config = {"out": str(tmp_path), "teacher": {"file": "ada"} if teacher else None, "schedule": schedule}
    train_after_imitation(adapter, OmegaConf.create(config))  # type: ignore[arg-type]
    assert done == ["ada"] * imitates + ["train"]
