"""The leaderboard: results in, one static folder out.

python -m leaderboard build RESULTS [-o site]    make the page
python -m leaderboard submit RUN                 pack a finished run as an entry
python -m leaderboard validate FILE...           check entries
python -m leaderboard admit PROPOSAL             what a pull request may do to the entries, and whether it is valid
python -m leaderboard compare RESULTS ID         an entry beside the controls and the trusted rows, as Markdown
python -m leaderboard verify RUN                 compute scores again; compare an entry with a run of one's own
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.core.cli import guarded
from bench.core.paths import expanded
from bench.store import default_root

FACTS = ("id", "kind", "title", "authors", "paper", "code", "licence", "amends", "description", "command")
"""Options of `submit` that are fields of the entry."""


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands."""
    options = _parser().parse_args(arguments)
    status: int = options.command_(options)
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser("leaderboard", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Namespace], int], what: str, example: str) -> ArgumentParser:
        added = commands.add_parser(
            name,
            help=what,
            description=what,
            epilog=f"example: python -m leaderboard {name} {example}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        added.set_defaults(command_=run)
        return added

    build = command("build", _build, "Make the page: one folder that opens from disk.", "results -o site")
    build.add_argument("results", type=expanded, help="folder of entries")
    build.add_argument("-o", "--out", type=expanded, default="site", help="folder to write (default: site)")
    build.add_argument("--docs", default="", help="folder in it for the documentation, to link to (default: no link)")

    submit = command(
        "submit", _submit, "Pack a finished run as an entry.", "runs/mine --authors 'Ada Lovelace' --images"
    )
    submit.add_argument("run", type=expanded, help="folder of the run, the one that holds cells/")
    submit.add_argument("-o", "--out", type=expanded, default="results", help="folder of entries (default: results)")
    submit.add_argument("--id", help="name of the entry (default: that of the run's folder)")
    submit.add_argument("--kind", help="defense, break, correction or reference (default: break with --amends)")
    submit.add_argument("--title", help="default: its defenses, attacks and bases")
    submit.add_argument("--description", help="in some sentences")
    submit.add_argument("--authors", nargs="+", metavar="NAME", help="default: nobody is named")
    submit.add_argument("--paper", help="its address (default: that of the method's card)")
    submit.add_argument("--code", help="address of the code")
    submit.add_argument("--licence", help="of the entry (default: CC-BY-4.0)")
    submit.add_argument("--amends", metavar="ID", help="entry that a break or a correction is about")
    submit.add_argument("--command", help="the exact command that made the run")
    submit.add_argument("--plugins", nargs="+", default=[], metavar="FILE", help="files or modules with your methods")
    submit.add_argument("--images", action="store_true", help="pack pictures, too; only of the invented people")
    submit.add_argument(
        "--store", type=expanded, default=default_root(), help="where the pictures are (default: %(default)s)"
    )
    submit.add_argument("--replace", action="store_true", help="replace another entry of the same id")
    submit.add_argument("--own-names", action="store_true", help="people may be named: they agreed, or are no people")

    validate = command("validate", _validate, "Check entries: folders or zips.", "results/mine other.zip")
    validate.add_argument("files", type=expanded, nargs="*", metavar="FILE", help="an entry's folder or zip")
    validate.add_argument("--all", type=expanded, metavar="RESULTS", help="every entry of a folder of entries")

    admit = command(
        "admit",
        _admit,
        "Check what a pull request does to the entries: it may add valid ones.",
        "../proposal/results --base results --changes changes",
    )
    admit.add_argument("proposal", type=expanded, help="the pull request's folder of entries")
    admit.add_argument("--base", type=expanded, required=True, help="the target branch's folder of entries")
    listed = "what git diff --name-status --no-renames -z BASE...HEAD -- results printed"
    admit.add_argument("--changes", type=expanded, required=True, metavar="FILE", help=listed)
    admit.add_argument("--maintainer", action="store_true", help="a maintainer allows it to change what is there")
    admit.add_argument("--summary", type=expanded, metavar="FILE", help="add comparisons of the new entries to it")

    compare = command("compare", _compare, "Hold an entry against the controls and the trusted rows.", "results mine")
    compare.add_argument("results", type=expanded, help="folder of entries")
    compare.add_argument("id", help="the entry: its name, folder or zip")

    verify = command(
        "verify",
        _verify,
        "Compute the scores of a run again from what it stored, and compare an entry with the run.",
        "runs/mine --entry results/theirs --write results/verified.json --by Ada",
    )
    verify.add_argument("run", type=expanded, help="folder of a run of your own")
    verify.add_argument(
        "--store", type=expanded, default=default_root(), help="where its pictures are (default: %(default)s)"
    )
    verify.add_argument("--entry", type=expanded, help="folder or zip of the entry to compare with the run")
    verify.add_argument("--write", type=expanded, metavar="FILE", help="record the verification, if all is well")
    verify.add_argument("--by", default="", metavar="NAME", help="who verifies")
    return parser


# Each command imports what it needs when it runs, so that --help is fast.


def _build(options: Namespace) -> int:
    from leaderboard.site.build import build

    print(f"Making the page of the entries in {options.results} ...", flush=True)
    problems = build(options.results, options.out, options.docs, partial(print, flush=True))
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    print(f"Open {options.out / 'index.html'}{', which is without what has a problem' if problems else ''}.")
    return 1 if problems else 0


def _submit(options: Namespace) -> int:
    from bench.core.terminal import terminal
    from leaderboard.submission.submit import Wishes, submit

    facts = {name: getattr(options, name) for name in FACTS if getattr(options, name) is not None}
    store = options.store if options.images else None
    places = (options.run, options.out, facts, options.plugins, store)
    return submit(Wishes(*places, options.replace, options.own_names), terminal())


def _validate(options: Namespace) -> int:
    from bench.core.errors import BenchError
    from bench.core.terminal import terminal
    from leaderboard.entries.reader import entries_of
    from leaderboard.review.validate import validate_all

    files = [*options.files, *(entries_of(options.all) if options.all else ())]
    if not files:
        raise BenchError("There are no entries to check.", "Give their folders or zips, or --all results.")
    return validate_all(files, terminal())


def _admit(options: Namespace) -> int:
    from bench.core.terminal import terminal
    from leaderboard.review.admit import admit, changes

    found = changes(options.changes.read_bytes())
    return admit(options.proposal, options.base, found, options.maintainer, options.summary, terminal())


def _compare(options: Namespace) -> int:
    from leaderboard.review.comparison import against

    print(against(options.results, Path(options.id).name.removesuffix(".zip")))
    return 0


def _verify(options: Namespace) -> int:
    from bench.core.terminal import terminal
    from leaderboard.review.verify import verify

    return verify(options.run, options.store, options.entry, options.write, options.by, terminal())


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
