"""The training of a remover: from a cloaked photo to the photo, for all cloaks at once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.images import to_tensor
from bench.core.seeding import generator
from bench.models import pixel_unet
from bench.remover.pairs import Pair
from countermeasures.remover import removed

STATE = "state.pt"
HELD = 8
"""One person of so many, at least one, is held out for the figures."""
SHIFT = 4
"""Photos are shifted by up to so many pixels each way, so that no place is special."""
LOOK = 100
"""Steps between lines of the log."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        minutes: of training, those before an interruption included.
        batch: photos per step.
        rate: highest learning rate of AdamW; it falls to zero as a half cosine.
        save_minutes: between checkpoints.
        seed: of all that is random.
        width: of the network.
    """

    minutes: float = 40.0
    batch: int = 16
    rate: float = 1e-3
    save_minutes: float = 3.0
    seed: int = 0
    width: int = 32


Gain = tuple[float, float]
"""PSNR in dB of cloaked photos beside the clean ones, before and after the remover."""


class Training:
    """A remover, its optimiser and the pairs that it learns from; goes on from a checkpoint in its folder.

    Args:
        pairs: of several people, some of whom are held out.
        schedule: how long and how fast.
        folder: for checkpoints.

    Raises:
        BenchError: the photos are of one person or of several sizes, or the checkpoint is of another network.
    """

    def __init__(self, pairs: Sequence[Pair], schedule: Schedule, folder: Path) -> None:
        people = sorted({pair.person for pair in pairs})
        if len(people) < 2:
            raise BenchError("The pairs are of one person: nobody is left to measure on.", "Give runs of more people.")
        if len({pair.clean.shape for pair in pairs}) > 1:
            raise BenchError("The pairs are photos of several sizes.", "Give runs with one model.resolution.")
        self.schedule, self._file = schedule, folder / STATE
        state = torch.load(self._file, weights_only=True) if self._file.exists() else {}
        # Who was held out stays so, whoever joins before the training goes on.
        self._held = state.get("held", people[:: max(2, min(HELD, len(people)))])
        self.held = [pair for pair in pairs if pair.person in self._held]
        self.taught = [pair for pair in pairs if pair.person not in self._held]
        self._clean = to_tensor([pair.clean for pair in self.taught])
        self._cloaked = to_tensor([pair.cloaked for pair in self.taught])
        self._odds = _equal_odds([pair.cloak for pair in self.taught])
        torch.manual_seed(schedule.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network: Any = pixel_unet.small(schedule.width).to(self.device)
        self._optimiser = torch.optim.AdamW(self.network.parameters(), lr=schedule.rate)
        self.step, self._spent = 0, 0.0
        if state:
            self._resume(state)

    def run(self) -> None:
        """Train to the end of the schedule, with a line of figures now and then."""
        began = saved = time.monotonic()
        begun_with, whole, losses = self._spent, 60 * self.schedule.minutes, []
        while (spent := begun_with + time.monotonic() - began) < whole:
            rate = self.schedule.rate * (1 + torch.cos(torch.tensor(torch.pi * spent / whole)).item()) / 2
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            losses.append(self._learn())
            self._spent = spent
            if self.step % LOOK == 0:
                told = sum(losses[-LOOK:]) / len(losses[-LOOK:])
                print(f"{self.step:6} error {told:.4f}, {(whole - spent) / 60:.0f} min to go", flush=True)
            if time.monotonic() - saved > 60 * self.schedule.save_minutes:
                self._save()
                saved = time.monotonic()
        self._spent = max(self._spent, whole)
        self._save()

    @torch.no_grad()
    def gains(self) -> dict[str, Gain]:
        """Of the people held out, by cloak; of clean photos the PSNR before is infinite."""
        self.network.eval()
        by_cloak: dict[str, list[Pair]] = defaultdict(list)
        for pair in self.held:
            by_cloak[pair.cloak].append(pair)
        found = {}
        for cloak, pairs in sorted(by_cloak.items()):
            clean, cloaked = (to_tensor([getattr(pair, name) for pair in pairs]) for name in ("clean", "cloaked"))
            after = torch.cat([removed(self.network, each[None].to(self.device)).cpu() for each in cloaked])
            found[cloak] = (_psnr(clean, cloaked), _psnr(clean, after))
        self.network.train()
        return found

    def _learn(self) -> float:
        random = generator(self.schedule.seed, "remover", self.step)
        rows = torch.multinomial(self._odds, self.schedule.batch, replacement=True, generator=random)
        both = torch.stack([self._cloaked[rows], self._clean[rows]])
        cloaked, clean = _moved(both, random).to(self.device)
        answer = pixel_unet.answer(self.network, cloaked * 2 - 1, torch.zeros(len(rows), device=self.device))
        loss = F.l1_loss(cloaked + answer / 2, clean)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self.step += 1
        return loss.item()

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "held": self._held,
            "spent": self._spent,
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        partial = self._file.with_suffix(".partial")
        torch.save(state, partial)
        partial.rename(self._file)

    def _resume(self, state: dict[str, Any]) -> None:
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError:
            raise BenchError(
                f"{self._file} is the checkpoint of a network of another width.", "Name another folder, or that width."
            ) from None
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self._spent = state["step"], state["spent"]


def _equal_odds(cloaks: Sequence[str]) -> Tensor:
    """(n,) how often to draw each pair, so that every cloak, and clean photos, come up as often as any other."""
    counts = {cloak: cloaks.count(cloak) for cloak in {*cloaks}}
    return torch.tensor([1 / counts[cloak] for cloak in cloaks])


def _moved(both: Tensor, random: torch.Generator) -> Tensor:
    """(2, n, 3, h, w) shifted by some pixels, mirrored half of the time: the two of a pair alike."""
    across, down = (int(torch.randint(-SHIFT, SHIFT + 1, (), generator=random)) for _ in range(2))
    shifted = both.roll((down, across), dims=(-2, -1))
    mirrored = torch.rand(both.shape[1], generator=random) < 0.5
    return torch.where(mirrored[None, :, None, None, None], shifted.flip(-1), shifted)


def _psnr(one: Tensor, other: Tensor) -> float:
    """Mean over photos (n, 3, h, w) in [0, 1], dB."""
    squared = (one - other).square().mean(dim=(1, 2, 3))
    return float((-10 * squared.log10()).mean())
