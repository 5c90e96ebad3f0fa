"""The training of a remover: it learns a known cloak, leaves clean photos alone, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import bench.train_remover as command
from bench.core.errors import BenchError
from bench.models import pixel_unet
from bench.remover.pairs import Pair
from bench.remover.training import Schedule, Training, _equal_odds, _moved
from countermeasures.remover import Remover

SIDE = 32


def pairs(people: int = 3, cloaks: tuple[str, ...] = ("none", "stripes")) -> list[Pair]:
    """Smooth photos, and a cloak of stripes that is the same everywhere."""
    stripes = np.where(np.arange(SIDE) % 4 < 2, 12, -12)[None, :, None]
    found = []
    for person in range(people):
        for photo in range(2):
            clean = np.full((SIDE, SIDE, 3), 120 + 3 * person + 10 * photo, np.uint8)
            cloaked = (clean + stripes).astype(np.uint8)
            found += [Pair(f"person {person}", c, clean, clean if c == "none" else cloaked) for c in cloaks]
    return found


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    small = pixel_unet.small
    monkeypatch.setattr(pixel_unet, "small", lambda width: small(width // 2))


def test_it_learns_to_take_a_cloak_off_people_it_never_saw(tmp_path: Path) -> None:
    training = Training(pairs(6), Schedule(batch=8, rate=3e-3), tmp_path)
    before = training.gains()
    assert before["stripes"][0] == pytest.approx(before["stripes"][1])
    assert before["none"] == (np.inf, np.inf)
    for _ in range(100):
        training._learn()
    after = training.gains()
    assert after["stripes"][1] > before["stripes"][0] + 3
    assert after["none"][1] > 30


def test_held_out_people_are_not_taught(tmp_path: Path) -> None:
    training = Training(pairs(9), Schedule(), tmp_path)
    held, taught = ({pair.person for pair in part} for part in (training.held, training.taught))
    assert held | taught == {f"person {number}" for number in range(9)}
    assert not held & taught
    assert len(held) == 2  # one of eight, and the ninth begins another eight


def test_clean_photos_and_every_cloak_come_up_equally_often() -> None:
    odds = _equal_odds(["none"] * 2 + ["mist"] * 6 + ["aspl"])
    assert odds[:2].sum() == pytest.approx(1)
    assert odds[2:8].sum() == pytest.approx(1)
    assert odds[8] == pytest.approx(1)


def test_both_photos_of_a_pair_move_alike() -> None:
    both = torch.rand(1, 6, 3, 8, 8).repeat(2, 1, 1, 1, 1)
    one, other = _moved(both, torch.Generator().manual_seed(1))
    assert torch.equal(one, other)
    assert not torch.equal(one, both[0])


def test_a_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    first = Training(pairs(), Schedule(minutes=1e-9), tmp_path)
    first._learn()
    first.run()  # no time is left: it saves
    again = Training(pairs(), Schedule(minutes=1e-9), tmp_path)
    assert again.step == first.step == 1
    state = again.network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in first.network.state_dict().items())
    assert first._learn() == again._learn()


def test_who_was_held_out_stays_so_whoever_joins(tmp_path: Path) -> None:
    Training(pairs(3)[4:], Schedule(minutes=1e-9), tmp_path).run()  # of persons 1 and 2, the first is held out
    later = Training(pairs(3), Schedule(minutes=1e-9), tmp_path)
    assert {pair.person for pair in later.held} == {"person 1"}
    assert {pair.person for pair in later.taught} == {"person 0", "person 2"}


def test_a_checkpoint_of_another_width_is_refused(tmp_path: Path) -> None:
    Training(pairs(), Schedule(minutes=1e-9), tmp_path).run()
    with pytest.raises(BenchError, match="another width"):
        Training(pairs(), Schedule(width=64), tmp_path)


def test_one_person_or_several_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="one person"):
        Training(pairs(1), Schedule(), tmp_path)
    small = Pair("another", "none", *[np.zeros((8, 8, 3), np.uint8)] * 2)
    with pytest.raises(BenchError, match="several sizes"):
        Training([*pairs(), small], Schedule(), tmp_path)


def test_the_command_writes_a_network_with_its_card(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "remover"
    assert command.main([str(run), "-o", str(out), "--without", "aspl", "--minutes", "0.001"]) == 0
    card = (out / "README.md").read_text()
    assert "clean photos and mist, and none of aspl" in card
    assert "| mist | " in capsys.readouterr().out
    photo = np.full((64, 64, 3), 99, np.uint8)
    (treated,) = Remover(str(out)).apply([photo], torch.Generator())
    assert treated.shape == photo.shape
