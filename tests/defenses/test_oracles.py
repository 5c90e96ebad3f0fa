"""Each objective against the formula of its paper, written once more in plain PyTorch on the stock modules.

The oracles share no code with `defenses`: they take the UNet, the VAE and the scheduler of diffusers, and the random
numbers in the documented order (posterior, timesteps, noise).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.attention import Maps, watched
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.recipe import Recipe
from defenses import DEFENSES, Context
from defenses.antidiffusion import amount
from defenses.antipure import high_frequencies
from defenses.aspl import targeted_loss
from defenses.disdiff import erasure
from defenses.dladiff import attention_distance
from defenses.objectives import denoising_loss, latent_shift, score_distillation
from defenses.photoguard import edited
from defenses.simac import interference
from defenses.surrogates import alternate
from defenses.targets import pattern
from defenses.timesteps import greedy_timesteps
from defenses.transforms import blur
from tests.support import tiny
from tests.support.contexts import defend_context, no_class
from tests.support.plain_steps import PROMPT, Plain, attention_maps, attention_of_heads, gradient

LEVELS, STEP = 8, 2.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("oracles")


@pytest.fixture(scope="module")
def loaded(root: Path) -> DiffusionModel:
    return tiny.tiny_base(root / "tiny")


@pytest.fixture
def base(loaded: DiffusionModel) -> Any:
    yield loaded
    loaded.restore()


@pytest.fixture(scope="module")
def photos() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return (0.2 + 0.6 * torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


def agree(mine: Callable[[Tensor], Tensor], oracle: Callable[[Tensor], Tensor], photos: Tensor) -> None:
    """Values and gradients agree."""
    assert float(mine(photos)) == pytest.approx(float(oracle(photos)), rel=1e-3)
    a, b = gradient(mine, photos), gradient(oracle, photos)
    assert float(b.abs().max()) > 0
    assert float((a - b).norm() / b.norm()) < 1e-3


# --- objectives -----------------------------------------------------------------------------------------------------


def test_denoising_loss(base: DiffusionModel, photos: Tensor) -> None:
    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, torch.Generator().manual_seed(7))
        predicted, noise, _, _ = plain.step(plain.latents(x))
        return ((predicted - noise) ** 2).mean()

    agree(lambda x: denoising_loss(base, PROMPT, 2, torch.Generator().manual_seed(7))(x), oracle, photos)


def test_score_distillation_is_the_error_carried_back_by_the_encoder_alone(
    base: DiffusionModel, photos: Tensor
) -> None:
    plain = Plain(base, torch.Generator().manual_seed(7))
    seen = photos.clone().requires_grad_(True)
    latents = plain.latents(seen)
    with torch.no_grad():
        predicted, noise, _, _ = plain.step(latents)
    (expected,) = torch.autograd.grad(latents, seen, grad_outputs=predicted - noise)
    found = gradient(score_distillation(base, PROMPT, 2, torch.Generator().manual_seed(7)), photos)
    assert torch.allclose(F.normalize(found.flatten(), dim=0), F.normalize(expected.flatten(), dim=0), atol=1e-5)


def test_latent_shift_is_that_of_mean_and_log_variance(base: DiffusionModel, photos: Tensor) -> None:
    plain = Plain(base, torch.Generator())
    clean = plain.posterior(photos)

    def oracle(x: Tensor) -> Tensor:
        now = plain.posterior(x)
        return F.mse_loss(now.mean, clean.mean.detach()) + F.mse_loss(now.logvar, clean.logvar.detach())

    agree(latent_shift(base, photos), oracle, (photos + 0.02).clamp(0, 1))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_previous_latent_is_the_schedulers(base: DiffusionModel, kind: str) -> None:
    """diffusers adds the variance's noise, which is taken off again."""
    scheduler = type(base.scheduler).from_config(base.scheduler.config, prediction_type=kind, clip_sample=False)
    noised, predicted = torch.randn(2, 2, *base.latent_shape, generator=generator(1))
    before = base.scheduler
    base.scheduler = scheduler
    try:
        for t in (1, 400, 999):
            made = scheduler.step(predicted, t, noised, generator=torch.Generator().manual_seed(0)).prev_sample
            noise = torch.randn(noised.shape, generator=torch.Generator().manual_seed(0))
            mean = made - scheduler._get_variance(t) ** 0.5 * noise
            assert torch.allclose(base.previous(noised, predicted, torch.tensor([t, t])), mean, atol=1e-4, rtol=1e-4)
    finally:
        base.scheduler = before


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_clean_undoes_noise_and_target(base: DiffusionModel, kind: str) -> None:
    before = base.scheduler
    base.scheduler = type(before).from_config(before.config, prediction_type=kind)
    try:
        latents, noise = torch.randn(2, 3, *base.latent_shape, generator=generator(1))
        timesteps = torch.tensor([0, 500, 990])
        noised, target = base.add_noise(latents, noise, timesteps), base.target(latents, noise, timesteps)
        assert torch.allclose(base.predict_x0(noised, target, timesteps), latents, atol=1e-2)
    finally:
        base.scheduler = before


def test_targeted_loss_pulls_the_previous_latent_to_the_targets(base: DiffusionModel, photos: Tensor) -> None:
    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, torch.Generator().manual_seed(7))
        latents = plain.latents(x)
        timesteps = torch.randint(0, 1000, (2,), generator=plain.draw).clamp(min=1)
        noise = torch.randn(latents.shape, generator=plain.draw)
        predicted, _, _, noised = plain.predict(latents, noise, timesteps, PROMPT)
        alphas = base.scheduler.alphas_cumprod
        kept, former = (alphas[t].view(-1, 1, 1, 1) for t in (timesteps, timesteps - 1))
        beta = 1 - kept / former
        mean = (noised - beta / (1 - kept) ** 0.5 * predicted) / (1 - beta) ** 0.5  # Ho et al. 2020, Alg. 2
        target = plain.posterior(pattern(tiny.SIDE)).mean.detach() * base.vae.config.scaling_factor
        wanted = former**0.5 * target + (1 - former) ** 0.5 * noise
        return F.mse_loss(predicted, noise) - F.mse_loss(mean, wanted)

    agree(lambda x: targeted_loss(base, PROMPT, 2, torch.Generator().manual_seed(7))(x), oracle, photos)


def test_an_edit_is_ddim_with_fresh_noise(base: DiffusionModel) -> None:
    from diffusers import DDIMScheduler

    timesteps = [500, 375, 250, 125]
    latents = torch.randn(1, *base.latent_shape, generator=generator(1))
    condition = base.condition([""])
    found = edited(base, latents, condition, timesteps, torch.Generator().manual_seed(5))
    draw = torch.Generator().manual_seed(5)
    ddim = DDIMScheduler.from_config(base.scheduler.config, clip_sample=False, set_alpha_to_one=True)
    ddim.set_timesteps(8)  # a distance of 125
    now = ddim.add_noise(latents, torch.randn(latents.shape, generator=draw), torch.tensor([500]))
    for t in timesteps[:-1]:
        predicted = base.unet(now, torch.tensor([t]), condition.hidden).sample
        fresh = torch.randn(latents.shape, generator=draw)
        now = ddim.step(predicted, t, now, eta=1.0, variance_noise=fresh).prev_sample
    predicted = base.unet(now, torch.tensor([125]), condition.hidden).sample
    kept = base.scheduler.alphas_cumprod[125]
    assert torch.allclose(found, (now - (1 - kept) ** 0.5 * predicted) / kept**0.5, atol=1e-3, rtol=1e-3)


def test_feature_interference_compares_the_last_blocks_at_the_same_noise(base: DiffusionModel, photos: Tensor) -> None:
    moved = (photos + 0.03).clamp(0, 1)

    def features(x: Tensor) -> tuple[list[Tensor], Tensor]:
        plain, seen = Plain(base, torch.Generator().manual_seed(7)), []
        blocks = base.unet.up_blocks[-1].resnets
        hooks = [block.register_forward_hook(lambda _m, _i, out: seen.append(out)) for block in blocks]
        latents = plain.latents(x)
        timesteps = torch.tensor([30, 700])
        noise = torch.randn(latents.shape, generator=plain.draw)
        predicted, *_ = plain.predict(latents, noise, timesteps, PROMPT)
        for hook in hooks:
            hook.remove()
        return seen, F.mse_loss(predicted, noise)

    def oracle(x: Tensor) -> Tensor:
        mine, error = features(x)
        theirs = [value.detach() for value in features(photos)[0]]
        return error + 3 * sum(F.mse_loss(a, b) for a, b in zip(mine, theirs, strict=True)) / len(mine)

    def mine(x: Tensor) -> Tensor:
        draw = torch.Generator().manual_seed(7)
        return interference(base, photos, PROMPT, 3.0, lambda: torch.tensor([30, 700]), draw)(x)

    agree(mine, oracle, moved)
    assert float(interference(base, photos, PROMPT, 1e6, lambda: torch.tensor([3, 7]), generator(0))(photos)) < 100


# --- attention ------------------------------------------------------------------------------------------------------


def test_watched_attention_is_attention_and_changes_nothing(base: DiffusionModel) -> None:
    latents, timesteps = torch.randn(2, *base.latent_shape, generator=generator(1)), torch.tensor([10, 500])
    condition = base.condition([PROMPT]).expand(2)
    plain = base.predict(latents, timesteps, condition)
    before = dict(base.unet.attn_processors)
    with watched(base.unet, {8}) as maps:
        assert torch.allclose(base.predict(latents, timesteps, condition), plain, atol=1e-4)
    assert dict(base.unet.attn_processors) == before
    found = sorted([*maps.cross, *maps.self], key=lambda m: float(m[0, 0, 0]))
    expected = sorted(attention_maps(base, latents, timesteps, PROMPT), key=lambda m: float(m[0, 0, 0]))
    assert len(found) == len(expected) > 2
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))
    assert all(m.shape[1:] == (64, 64) for m in maps.self)
    with pytest.raises(BenchError, match="side of 16 or 32") as caught, watched(base.unet, (16, 32)):
        base.predict(latents, timesteps, condition)
    assert "[8]" in caught.value.fix
    assert dict(base.unet.attn_processors) == before


@pytest.mark.parametrize("by_head", [False, True])
def test_attention_distance_is_the_squared_distance_of_all_maps(
    base: DiffusionModel, photos: Tensor, by_head: bool
) -> None:
    static, moved = base.clone(), (photos + 0.03).clamp(0, 1)
    with torch.no_grad():
        for weight in static.unet.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator(2)))

    def maps(model: DiffusionModel, x: Tensor) -> list[Tensor]:
        plain = Plain(model, torch.Generator().manual_seed(7))
        latents = plain.latents(x)
        timesteps = torch.randint(0, 1000, (2,), generator=plain.draw)
        noise = torch.randn(latents.shape, generator=plain.draw)
        noised = base.add_noise(latents, noise, timesteps)
        return (attention_of_heads if by_head else attention_maps)(model, noised, timesteps, PROMPT)

    def oracle(x: Tensor) -> Tensor:
        pairs = zip(maps(base, x), maps(static, photos), strict=True)
        return torch.stack([((a - b.detach()) ** 2).sum() for a, b in pairs]).sum() / len(photos)

    def mine(x: Tensor) -> Tensor:
        draw = torch.Generator().manual_seed(7)
        return attention_distance(static, base, photos, PROMPT, {8}, draw, by_head)(x)

    agree(mine, oracle, moved)


def test_erasure_and_amount_of_attention_by_hand() -> None:
    """Of four tokens, the first and the last are no words; two photos and two layers have the mean 0, ln(3) / 100."""
    one, other = torch.zeros(2, 2, 2, 4)
    one[0, :, 2] = 4 * math.log(3) / 100
    one[1, :, 0] = other[:, :, 3] = 0.9
    maps = Maps(cross=[one, other])
    for place, squares in ((1, 1), (2, 9)):  # shares 1/4 and 3/4
        assert float(erasure(maps, [place], [1, 2])) == pytest.approx((1 - squares / 10) ** 2)
    assert float(erasure(maps, [1, 2], [1, 2])) == 0
    heads = torch.tensor([0.004, 0.012]).view(1, 2, 1, 1).expand(1, 2, 4, 3)  # two heads of a layer, mean 0.008
    assert float(amount([heads])) == pytest.approx(0.8**2)  # cut off after the mean, or it would be 0.7
    assert float(amount([heads], half=True)) == 1
    assert float(amount([heads, 0 * heads, 0 * heads[:, :, :1]])) == pytest.approx((0.4**2 + 0) / 2)


def test_the_tokens_of_a_word(base: DiffusionModel) -> None:
    tokens = base.tokenizer(PROMPT).input_ids
    places = base.token_places(PROMPT, "sks")
    assert base.tokenizer.decode([tokens[place] for place in places]).strip() == "sks"
    assert base.token_places(PROMPT, "person")[0] == places[-1] + 1


# --- whole steps ----------------------------------------------------------------------------------------------------


def one_step(name: str, base: DiffusionModel, photos: Tensor, **settings: Any) -> Tensor:
    defense = DEFENSES.create(name, settings).resolved("facelet")
    draw = torch.Generator().manual_seed(7)
    return defense.protect(photos.clone(), Context([base], photos, Budget(LEVELS), draw, no_class))


def stepped(start: Tensor, photos: Tensor, slope: Tensor, step: float = STEP) -> Tensor:
    """x + step * sign, within the ball and [0, 1]."""
    moved = start + step / 255 * slope.sign()
    return torch.min(torch.max(moved, photos - LEVELS / 255), photos + LEVELS / 255).clamp(0, 1)


def mostly_equal(a: Tensor, b: Tensor) -> None:
    """Signs of gradients near zero may differ by rounding: of one value in a hundred, not more."""
    assert float(((a - b).abs() < 1e-6).float().mean()) > 0.99


def test_one_step_of_advdm(base: DiffusionModel, photos: Tensor) -> None:
    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, torch.Generator().manual_seed(7))
        predicted, noise, _, _ = plain.step(plain.latents(x), "a photo of person")
        return ((predicted - noise) ** 2).mean()

    found = one_step("advdm", base, photos, steps=1, step=STEP / LEVELS)
    mostly_equal(found, stepped(photos, photos, gradient(oracle, photos)))


@pytest.mark.parametrize(("direction", "sign"), [("up", 1), ("down", -1)])
@pytest.mark.parametrize("target", [False, True])
def test_one_step_of_sds(base: DiffusionModel, photos: Tensor, direction: str, sign: int, target: bool) -> None:
    plain = Plain(base, torch.Generator().manual_seed(7))
    seen = photos.clone().requires_grad_(True)
    latents = plain.latents(seen)
    with torch.no_grad():
        predicted, noise, _, _ = plain.step(latents, "a photo of person")
        wanted = plain.posterior(pattern(tiny.SIDE)).mean * base.vae.config.scaling_factor
    size = latents[0].numel()
    (slope,) = torch.autograd.grad(latents, seen, grad_outputs=sign * (predicted - noise) / size, retain_graph=True)
    if target:
        mean = plain.posterior(seen).mean * base.vae.config.scaling_factor
        slope = 5 * slope - torch.autograd.grad(F.mse_loss(mean, wanted.expand_as(mean)), seen)[0]
    found = one_step("sds", base, photos, steps=1, step=STEP / LEVELS, direction=direction, target=target)
    mostly_equal(found, stepped(photos, photos, slope))


def test_one_step_of_photoguard(base: DiffusionModel, photos: Tensor) -> None:
    draw = torch.Generator().manual_seed(7)
    start = photos + LEVELS / 255 * (2 * torch.rand(photos.shape, generator=draw) - 1)
    start = start.clamp(0, 1)
    slope = gradient(lambda x: -(Plain(base, draw).posterior(x).mean ** 2).sum(), start)
    found = one_step("photoguard", base, photos, steps=1, step=STEP / LEVELS)
    mostly_equal(found, stepped(start, photos, slope))


@pytest.mark.parametrize(("variant", "values"), [("as_released", 1.0), ("intended", 16.0)])
def test_one_step_of_mist(base: DiffusionModel, photos: Tensor, variant: str, values: float) -> None:
    """The tiny latents have a sixteenth of the published number of values."""
    draw = torch.Generator().manual_seed(7)
    start = (photos + LEVELS / 255 * (2 * torch.rand(photos.shape, generator=draw) - 1)).clamp(0, 1)
    factor = base.vae.config.scaling_factor

    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, draw)
        latents = plain.latents(x)
        target = plain.posterior(pattern(tiny.SIDE)).mean.detach() * factor
        predicted, noise, _, _ = plain.step(latents, "a photo of person")
        distances = values * ((latents - target) ** 2).sum(dim=(1, 2, 3))
        value: Tensor = 1000 * ((predicted - noise) ** 2).mean() - distances.mean()
        return value

    found = one_step("mist", base, photos, steps=1, step=STEP / LEVELS, rate=1000.0, variant=variant)
    mostly_equal(found, stepped(start, photos, gradient(oracle, start)))


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1e4, 0.0), (0.0, 1e4), (0.5, 0.5)])
def test_one_step_of_antipure(base: DiffusionModel, photos: Tensor, weights: tuple[float, float]) -> None:
    """Its three terms alone and together: timesteps of the purifier, its error, frequencies, another timestep."""
    cosines = [[math.cos(math.pi * (2 * x + 1) * u / 16) / 2 for x in range(8)] for u in range(4, 8)]

    def frequencies(pictures: Tensor) -> Tensor:
        """Mean coefficient of each picture, patch by patch."""
        high, seen = torch.tensor(cosines), []
        for top in range(0, tiny.SIDE, 8):
            for left in range(0, tiny.SIDE, 8):
                patches = pictures[:, :, top : top + 8, left : left + 8]
                seen.append((high @ patches @ high.T).mean(dim=(1, 2, 3)))
        return torch.stack(seen).mean(dim=0)

    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, torch.Generator().manual_seed(7))
        latents = plain.latents(x)
        early = torch.randint(0, 10, (2,), generator=plain.draw)
        noise = torch.randn(latents.shape, generator=plain.draw)
        late = torch.randint(10, 1000, (2,), generator=plain.draw)
        predicted, _, _, noised = plain.predict(latents, noise, early, "")
        other = base.unet(noised, late, plain.hidden("", 2)).sample
        kept = base.scheduler.alphas_cumprod[early].view(-1, 1, 1, 1)
        clean = (noised - (1 - kept).sqrt() * predicted) / kept.sqrt()
        purified = base.vae.decode(clean / base.vae.config.scaling_factor).sample.clamp(-1, 1)
        values = []
        for i in range(2):
            error = F.mse_loss(predicted[i], noise[i])
            rough = torch.exp(kept[i, 0, 0, 0] - 1) * torch.sigmoid(frequencies(purified)[i])
            alike = torch.exp(-F.mse_loss(other[i], predicted[i]))
            values.append(error + weights[0] * rough + weights[1] * alike)
        return torch.stack(values).mean()

    settings = {"frequency_weight": weights[0], "timestep_weight": weights[1], "step": STEP / LEVELS}
    found = one_step("antipure", base, photos, steps=1, **settings)
    mostly_equal(found, stepped(photos, photos, gradient(oracle, photos)))


def test_one_step_of_diffusionguard(base: DiffusionModel, photos: Tensor) -> None:
    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, torch.Generator().manual_seed(7))
        latents = plain.latents(x)
        noise = torch.randn(latents.shape, generator=plain.draw)
        predicted, *_ = plain.predict(latents, noise, torch.tensor([500, 500]), "")
        return torch.stack([each.square().sum().sqrt() for each in predicted]).sum()

    found = one_step("diffusionguard", base, photos, steps=1, step=STEP)
    mostly_equal(found, stepped(photos, photos, gradient(oracle, photos)))


def test_high_frequencies_are_those_of_the_checkerboard() -> None:
    """Its sign counts; a picture of one colour, or striped one way only, has none."""
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    pictures = torch.stack([board, 1 - board, torch.full((16, 16), 0.3), torch.arange(16).remainder(2).expand(16, 16)])
    found = high_frequencies(pictures[:, None].float().expand(-1, 3, -1, -1), 8)
    from scipy.fft import dctn

    mean = dctn(2 * board[:8, :8].numpy() - 1.0, norm="ortho")[4:, 4:].mean()
    expected = torch.tensor([mean, -mean, 0, 0]).sigmoid()
    assert abs(mean) > 0.1
    assert torch.allclose(found, expected.float(), atol=1e-5)


def test_the_noise_of_a_v_prediction(root: Path) -> None:
    """Of a prediction without error it is the noise that was added."""
    base = tiny.tiny_base(root / "v", v=True)
    latents, noise = (torch.randn(2, *base.latent_shape, generator=generator(seed)) for seed in (1, 2))
    timesteps = torch.tensor([3, 700])
    noised, perfect = base.add_noise(latents, noise, timesteps), base.target(latents, noise, timesteps)
    assert torch.allclose(base.predict_noise(noised, perfect, timesteps), noise, atol=1e-4)


def test_one_step_of_ace(base: DiffusionModel, photos: Tensor) -> None:
    """A fresh LoRA changes nothing yet; drawing its A comes first."""
    draw = torch.Generator().manual_seed(7)
    from attacks.lora import Lora

    lora = Lora(rank=4, targets="attention", train_text_encoder=False)
    lora.prepare(base)
    lora.attach(draw)
    lora.reset()

    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, draw)
        target = plain.posterior(pattern(tiny.SIDE)).mean.detach() * base.vae.config.scaling_factor
        predicted, *_ = plain.step(plain.latents(x))
        return -F.mse_loss(predicted, target.expand_as(predicted))

    slope = gradient(oracle, photos)
    found = one_step("ace", base, photos, rounds=1, pgd_steps=1, step=STEP, lora_steps=0)
    mostly_equal(found, stepped(photos, photos, slope))


def test_one_step_of_antidiffusion(base: DiffusionModel, photos: Tensor) -> None:
    """The loss minus the attention, under a prompt that is still the empty one."""
    with torch.no_grad():  # attention that is spread evenly over all tokens is above the cut everywhere
        for name, weight in base.unet.named_parameters():
            if "attn2.to_q" in name:
                weight.mul_(30)

    def oracle(x: Tensor) -> Tensor:
        plain = Plain(base, draw)
        predicted, noise, timesteps, noised = plain.step(plain.latents(x), "")
        maps = [m for m in attention_maps(base, noised, timesteps, "") if m.shape[-1] != m.shape[-2]]
        assert len(maps) > 1
        attention = (100 * torch.stack(maps).mean(dim=0)).clamp(max=1).square().mean()
        return F.mse_loss(predicted, noise) - 1e6 * attention

    settings = {"rounds": 1, "prompt_steps": 0, "pgd_steps": 1, "surrogate_steps": 0, "sides": [8]}
    found = one_step("antidiffusion", base, photos[:1], variant="intended", step=STEP, attention_weight=1e6, **settings)
    draw = torch.Generator().manual_seed(7)
    Plain(base, draw).latents(photos[:1])  # those that the prompt would have been tuned on
    mostly_equal(found, stepped(photos[:1], photos[:1], gradient(oracle, photos[:1])))


# --- schedules and transforms -----------------------------------------------------------------------------------------


def test_greedy_timesteps_are_those_of_large_gradients(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gradient_of(base: DiffusionModel, photos: Tensor, condition: Any, timesteps: Tensor, draw: Any) -> Tensor:
        sizes = torch.stack([timesteps[0], 1000 - timesteps[1]]).float()  # one photo likes them late, one early
        return sizes[:, None, None, None].expand_as(photos)

    monkeypatch.setattr("defenses.timesteps._gradient", gradient_of)
    drawn = greedy_timesteps(base, photos, PROMPT, Budget(8), 1.0, generator(0))
    seen = torch.stack([drawn() for _ in range(400)])
    assert seen.shape == (400, 2)
    assert len(set(seen[:, 0].tolist())) <= 100
    assert float(seen[:, 0].float().mean()) > 800
    assert float(seen[:, 1].float().mean()) < 200


def test_an_ensemble_averages_and_each_learns_from_its_own(
    base: DiffusionModel, photos: Tensor, monkeypatch: Any
) -> None:
    other = base.clone()
    learned: list[tuple[DiffusionModel, float]] = []
    monkeypatch.setattr("defenses.surrogates.finetune", lambda *args, **more: None)
    seen: list[Tensor] = []

    def move(student: DiffusionModel, cloaked: Tensor) -> Tensor:
        seen.append(cloaked)
        return cloaked + (0.01 if len(seen) % 2 else 0.03)

    original = DiffusionModel.posterior

    def posterior(self: DiffusionModel, x: Tensor) -> Any:
        learned.append((self, float(x.mean())))
        return original(self, x)

    monkeypatch.setattr(DiffusionModel, "posterior", posterior)
    context = defend_context(base, other, photos=photos)
    found = alternate(photos, context, Recipe(steps=0, learning_rate=0.0, batch=2), 2, move)
    assert torch.allclose(found, photos + 0.04, atol=1e-6)
    assert torch.equal(seen[0], seen[1])
    first, second = learned[2], learned[3]
    assert first[0] is base
    assert second[0] is other
    assert second[1] - first[1] == pytest.approx(0.02, abs=1e-5)


def test_blur_is_a_gaussian() -> None:
    from scipy.ndimage import gaussian_filter

    picture = torch.rand(1, 3, 16, 16, generator=generator(0))
    expected = gaussian_filter(picture.numpy(), (0, 0, 1.3, 1.3), mode="mirror", radius=(0, 0, 3, 3))
    assert np.allclose(blur(picture, 1.3, radius=3).numpy(), expected, atol=1e-5)


def test_the_target_has_contrast_everywhere() -> None:
    picture = pattern(64)
    assert picture.shape == (1, 3, 64, 64)
    tiles = F.unfold(picture[:, :1], 16, stride=16)
    assert float(tiles.amin(dim=1).max()) < 0.3
    assert float(tiles.amax(dim=1).min()) == pytest.approx(1)
