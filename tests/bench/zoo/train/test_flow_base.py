"""The training of a flow-matching base: what it learns, and that what it leaves is a model as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.models.diffusion.flow import FlowModel
from bench.models.weights.files import ZOO
from bench.zoo.train.flow_base import LENGTH, FlowMatching, build_transformer, reading
from bench.zoo.train.loop import Schedule, train
from tests.support import tiny_flow
from tests.support.drawing import GUIDANCE, STEPS, noise, plain, prompts
from tests.support.tiny import autoencoder
from tests.support.training_views import PHOTOS, rng, views

TEXT = 128 + 96
"""Widths of the text encoders of both bases."""


@pytest.fixture(scope="module")
def part() -> FlowMatching:
    from transformers import CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(ZOO / "facelet-1" / "tokenizer")
    readers = reading(ZOO / "facelet-1"), reading(ZOO / "facelet-2")
    return FlowMatching(build_transformer(1, 2, 16, TEXT), readers, tokenizer, views(autoencoder(16, 32), 16))


@pytest.fixture(scope="module")
def base(part: FlowMatching, tmp_path_factory: pytest.TempPathFactory) -> FlowModel:
    """What is exported of it."""
    folder = tmp_path_factory.mktemp("flow") / "base"
    part.export(folder)
    return tiny_flow.loaded(folder)


class Answering(torch.nn.Module):
    """Stands in for a transformer; keeps what it was asked."""

    def __init__(self, part: FlowMatching, knows: bool) -> None:
        super().__init__()
        self.config, self._knows = part.module.config, knows
        self._latents = part._views.latents.float()
        self.asked = torch.empty(0)

    def forward(self, hidden_states: Tensor, timestep: Tensor, **told: Tensor | bool) -> tuple[Tensor]:
        self.asked = timestep
        if not self._knows:
            return (torch.zeros_like(hidden_states),)
        sigma = (timestep / LENGTH)[:, None, None, None]
        noise = (hidden_states - (1 - sigma) * self._latents) / sigma
        return (noise - self._latents,)


def errors(part: FlowMatching, answering: Answering, rows: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr(part, "module", answering)
    monkeypatch.setattr(part, "_compiled", answering)
    return part._errors(rows, rng())


def test_who_knows_the_direction_makes_no_error(part: FlowMatching, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors(part, Answering(part, knows=True), torch.arange(PHOTOS), monkeypatch).max() < 1e-6


def test_who_says_nothing_errs_by_the_directions_size(part: FlowMatching, monkeypatch: pytest.MonkeyPatch) -> None:
    found = errors(part, Answering(part, knows=False), torch.zeros(200).long(), monkeypatch)
    expected = 1 + part._views.latents[0].float().square().mean()
    assert found.mean() == pytest.approx(float(expected), rel=0.01)


def test_times_are_logit_normal(part: FlowMatching, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = Answering(part, knows=False)
    monkeypatch.setattr(part, "_condition", lambda captions: (torch.empty(0), torch.empty(0)))
    errors(part, answering, torch.zeros(4000).long(), monkeypatch)
    logits = torch.logit(answering.asked / LENGTH)
    assert abs(logits.mean()) < 0.05
    assert logits.std() == pytest.approx(1, abs=0.05)


def test_the_text_is_read_as_by_the_base(part: FlowMatching, base: FlowModel) -> None:
    hidden, pooled = part._condition(prompts())
    read = base.condition(prompts())
    assert hidden.shape == (len(prompts()), 2 * 24, TEXT)
    torch.testing.assert_close(read.hidden, hidden, atol=2e-3, rtol=1e-2)  # in half precision
    torch.testing.assert_close(read.pooled, pooled, atol=2e-3, rtol=1e-2)


def test_the_stock_pipeline_draws_the_bases_pictures(base: FlowModel) -> None:
    pipeline = tiny_flow.published(base.checkpoint.path, base).to(torch.float32)
    made = pipeline(
        prompts(),
        latents=noise(base),
        height=base.side,
        width=base.side,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        max_sequence_length=24,
        output_type="pt",
    )
    assert (made.images - plain(base)).abs().max() < 1e-5


def test_it_learns(part: FlowMatching, tmp_path: Path) -> None:
    before = part._errors(torch.arange(PHOTOS), rng()).mean()
    train(part, Schedule(steps=12, batch=8, lr=5e-3, warmup=1, ema=0.5, grid_every=0), tmp_path)
    assert part._errors(torch.arange(PHOTOS), rng()).mean() < before - 0.05
    assert (tmp_path / "final" / "transformer").is_dir()
    assert (tmp_path / "grid-000012.png").is_file()
