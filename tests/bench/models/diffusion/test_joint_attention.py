"""A look at joint attention, beside the weights that the attention kernel itself was given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.config.compute import Computing
from bench.core.errors import BenchError
from bench.core.seeding import generator
from bench.models.diffusion import joint_attention
from bench.models.diffusion.flow import FlowModel
from bench.models.diffusion.flux import FluxModel
from bench.models.diffusion.sd3 import Sd3Model
from tests.support import tiny_flow

PROMPT = "a photo of sks person"
PLACES = 64
"""Tokens of the picture: latents of 16, in squares of 2."""
TIMESTEPS = torch.tensor([300, 800])


@pytest.fixture(scope="module", params=[tiny_flow.sd3, tiny_flow.flux], ids=["sd3", "flux"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("flow") / "tiny"
    request.param(made)
    return made


@pytest.fixture(scope="module")
def base(folder: Path) -> FlowModel:
    return tiny_flow.loaded(folder)


@pytest.fixture
def latents(base: FlowModel) -> Tensor:
    return torch.randn(2, *base.latent_shape, generator=generator("latents"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """(n, heads, sequence, sequence) weights of every attention, from what the kernel was given."""
    weights: list[Tensor] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def listening(query: Tensor, key: Tensor, value: Tensor, **more: object) -> Tensor:
        weights.append(torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1))
        return kernel(query, key, value, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", listening)
    return weights


def expected(base: FlowModel, computed: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Image-to-text and image-to-image blocks: Stable Diffusion 3 puts the picture first, FLUX the prompt."""
    cross, own, flux = [], [], isinstance(base, FluxModel)
    for weights in computed:
        tokens = weights.shape[-1] - PLACES
        rows = weights[:, :, tokens:] if flux else weights[:, :, :PLACES]
        own.append(rows[..., tokens:] if flux else rows[..., :PLACES])
        if tokens:
            cross.append(rows[..., :tokens] if flux else rows[..., PLACES:])
    return cross, own


@pytest.mark.parametrize("by_head", [False, True])
def test_watched_attention_is_the_kernels_and_changes_nothing(
    base: FlowModel, latents: Tensor, computed: list[Tensor], by_head: bool
) -> None:
    condition = base.condition([PROMPT]).expand(2)
    plain = base.predict(latents, TIMESTEPS, condition)
    computed.clear()
    with base.watched(by_head=by_head) as maps:
        assert torch.equal(base.predict(latents, TIMESTEPS, condition), plain)
    cross, own = expected(base, computed)
    assert len(own) == (3 if isinstance(base, Sd3Model) else 2)  # the first layer's second attention
    for found, wanted in zip([*maps.cross, *maps.self], [*cross, *own], strict=True):
        torch.testing.assert_close(found, wanted if by_head else wanted.mean(dim=1))
    computed.clear()
    base.predict(latents, TIMESTEPS, condition)
    assert not any(module._forward_hooks for module in base.transformer.modules())


def test_rows_of_both_blocks_sum_to_one(base: FlowModel, latents: Tensor) -> None:
    with base.watched({8}) as maps:
        base.predict(latents, TIMESTEPS, base.condition([PROMPT]).expand(2))
    alone = [each for each in maps.self if torch.allclose(each.sum(dim=-1), torch.ones(2, PLACES))]
    assert len(alone) == len(maps.self) - len(maps.cross)
    joint = [each for each in maps.self if not any(each is other for other in alone)]
    for told, seen in zip(maps.cross, joint, strict=True):
        torch.testing.assert_close(told.sum(dim=-1) + seen.sum(dim=-1), torch.ones(2, PLACES))


@pytest.mark.parametrize("memory", ["normal", "low"])
def test_gradients_are_those_of_attention(folder: Path, latents: Tensor, computed: list[Tensor], memory: str) -> None:
    """Through heads that are computed again, and whether the model computes its layers again or not."""
    base = tiny_flow.loaded(folder, Computing(memory="low" if memory == "low" else "normal"))
    condition = base.condition([PROMPT]).expand(2)
    at = latents.requires_grad_(True)
    computed.clear()
    with base.watched() as maps:
        base.predict(at, TIMESTEPS, condition)
    mine = torch.stack([each.square().sum() for each in [*maps.cross, *maps.self]]).sum()
    cross, own = expected(base, computed)
    theirs = torch.stack([each.mean(dim=1).square().sum() for each in [*cross, *own]]).sum()
    (wanted,) = torch.autograd.grad(theirs, at, retain_graph=True)
    assert float(wanted.abs().max()) > 0
    torch.testing.assert_close(torch.autograd.grad(mine, at)[0], wanted)
    assert base.transformer.is_gradient_checkpointing == (memory == "low")


def test_attention_to_the_prompt_is_its_block_by_head(base: FlowModel, latents: Tensor) -> None:
    condition = base.condition([PROMPT]).expand(2)
    with base.attention_to_prompt() as maps:
        base.predict(latents, TIMESTEPS, condition)
    with base.watched(by_head=True) as every:
        base.predict(latents, TIMESTEPS, condition)
    assert len(maps) == 2
    for found, wanted in zip(maps, every.cross, strict=True):
        assert torch.equal(found, wanted)
        assert found.untyped_storage().nbytes() == found.numel() * found.element_size()


def test_a_side_that_fits_nothing_is_an_error(base: FlowModel, latents: Tensor) -> None:
    with pytest.raises(BenchError, match="side of 16 or 32") as caught, base.watched((16, 32)):
        base.predict(latents, TIMESTEPS, base.condition([PROMPT]).expand(2))
    assert "[8]" in caught.value.fix


def test_of_many_blocks_some_are_looked_at(base: FlowModel, latents: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert joint_attention._spread(range(57)) == [0, 8, 16, 24, 32, 40, 48, 56]  # type: ignore[arg-type,comparison-overlap]
    monkeypatch.setattr(joint_attention, "MOST", 1)
    with base.watched() as maps:
        base.predict(latents, TIMESTEPS, base.condition([PROMPT]).expand(2))
    assert len(maps.cross) == 1


def test_the_tokens_of_a_word_are_each_readers(base: FlowModel) -> None:
    """Of CLIP's 77 and T5's behind them, or of T5's alone: what they stand for is read back."""
    assert base.t5 is not None
    places = base.token_places(PROMPT, "sks")
    by_t5 = base.t5.tokenizer(PROMPT).input_ids
    first = 77 if isinstance(base, Sd3Model) else 0
    assert base.t5.tokenizer.decode([by_t5[place - first] for place in places if place >= first]).strip() == "sks"
    by_clip = base.tokenizer(PROMPT).input_ids
    read = base.tokenizer.decode([by_clip[place] for place in places if place < first]).strip()
    assert read == ("sks" if isinstance(base, Sd3Model) else "")
    assert base.token_places(PROMPT, "a")[-2:] == [first, first + 1]  # nothing before it; a space, and the letter
    with pytest.raises(BenchError, match="does not contain"):
        base.token_places(PROMPT, "zwx")


def test_the_last_features_are_the_pictures(base: FlowModel, latents: Tensor) -> None:
    """Normalised, and those of the last block are what the prediction is made of."""
    condition = base.condition([PROMPT]).expand(2)
    given: list[Tensor] = []
    hook = base.transformer.norm_out.norm.register_forward_hook(lambda _m, _i, out: given.append(out))
    with base.last_features() as seen:
        base.predict(latents, TIMESTEPS, condition)
    hook.remove()
    assert [each.shape for each in seen] == [torch.Size([2, PLACES, 32])] * 2
    torch.testing.assert_close(seen[-1], given[0], atol=1e-4, rtol=1e-4)


def test_the_prompts_weights_are_those_of_text(base: FlowModel) -> None:
    """FLUX's second layer projects both by the same weights."""
    apart = {id(weight) for weight in base.prompt_weights}
    attention = base.transformer.transformer_blocks[0].attn
    own = [*attention.add_k_proj.parameters(), *attention.add_v_proj.parameters()]
    assert apart >= {id(weight) for weight in own}
    assert len(apart) == len(own) * len(base.transformer.transformer_blocks)


def test_the_step_before_is_the_samplers(base: FlowModel, latents: Tensor) -> None:
    """The straight line: with the direction that is right, one ends where the noise would have put one."""
    noise = torch.randn(latents.shape, generator=generator("noise"))
    for t in (torch.tensor([1, 500]), torch.tensor([400, 999])):
        noised, direction = base.add_noise(latents, noise, t), base.target(latents, noise, t)
        torch.testing.assert_close(base.previous(noised, direction, t), base.add_noise(latents, noise, t - 1))
