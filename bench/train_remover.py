"""Train a network that takes cloaks off, from the cloaked photos of runs.

    python -m bench data=parquet data.root=training.parquet suite=board suite.only=[cloaks] out=runs/cloaks
    python -m bench.train_remover runs/cloaks -o remover/                       # all cloaks of the run
    python -m bench.train_remover runs/cloaks -o remover/ --without dladiff     # does it take off what it never saw?
    python -m bench countermeasure=remover countermeasure.remover.weights=remover attack=dreambooth

The runs must be of other people than those that cloaks are then judged on. One person of eight is held out of the
training for the figures at its end. Interrupted, the same command goes on from its checkpoint. The card, README.md,
says what it was trained on.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from bench.core.cli import guarded, ranged
from bench.core.paths import expanded
from bench.core.ranges import Count, Range, Several

if TYPE_CHECKING:
    from bench.remover.training import Gain, Training

WIDTHS = (16, 32, 48, 64, 96)
Minutes = Annotated[float, Range(gt=0, le=10_000, unit="minutes")]


def main(arguments: Sequence[str]) -> int:
    """Train, write the network and its card, and print what it does to people whom it has not seen."""
    parser = ArgumentParser("bench.train_remover", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=expanded, nargs="+", help="folders of runs with cloaked photos")
    parser.add_argument("-o", "--out", type=expanded, required=True, help="where the network goes")
    parser.add_argument(
        "--without", action="append", default=[], metavar="DEFENSE", help="leave a defense's photos out"
    )
    parser.add_argument("--minutes", type=ranged(Minutes), default=40.0, help="of training (40)")
    parser.add_argument("--batch", type=ranged(Count), default=16, help="photos per step (16)")
    parser.add_argument("--width", type=int, choices=WIDTHS, default=32, help="of the network, channels (32)")
    parser.add_argument("--seed", type=ranged(Several), default=0)
    told = parser.parse_args(arguments)

    from bench.remover.pairs import read_pairs
    from bench.remover.training import Schedule, Training

    training = Training(
        read_pairs(told.runs, told.without),
        Schedule(minutes=told.minutes, batch=told.batch, seed=told.seed, width=told.width),
        told.out,
    )
    people = len({pair.person for pair in training.taught})
    print(f"{len(training.taught)} pairs of {people} people, from step {training.step}", flush=True)
    training.run()
    training.network.save_pretrained(told.out)
    gains = training.gains()
    (told.out / "README.md").write_text(card(training, gains, told.without))
    print(table(gains))
    print(f"countermeasure=remover countermeasure.remover.weights={told.out}")
    return 0


def table(gains: Mapping[str, Gain]) -> str:
    """In Markdown: how near photos of people held out are to the clean ones, before and after."""
    lines = [f"| {cloak} | {before:.1f} | {after:.1f} |" for cloak, (before, after) in gains.items()]
    return "\n".join(["| cloak | PSNR before, dB | after |", "|---|---|---|", *lines])


def card(training: Training, gains: Mapping[str, Gain], without: Sequence[str]) -> str:
    """What the network is, and what it was trained on."""
    cloaks = sorted({pair.cloak for pair in training.taught} - {"none"})
    people = len({pair.person for pair in training.taught})
    left_out = f", and none of {', '.join(without)}" if without else ""
    return f"""# A remover of cloaks

A `UNet2DModel` on photos of {training.taught[0].clean.shape[0]} px, for `countermeasure=remover`; see
`countermeasures/remover.py`. {training.step} steps of {training.schedule.batch}, learning rate
{training.schedule.rate:g}, seed {training.schedule.seed}.

Trained on {len(training.taught)} pairs of {people} people: clean photos and {", ".join(cloaks)}{left_out}. It may
remember what these people look like, so the licence of their photos holds for it too, and whoever is judged must not be
among them.

Photos of {len({pair.person for pair in training.held})} people held out beside the clean ones ("inf": they are those):

{table(gains)}
"""


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
