"""`recnas portfolio`: what a search begins with, learned from runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from recnas.candidates.families import written
from recnas.candidates.network import Baseline
from recnas.candidates.portfolio import Member, save_portfolio
from recnas.cli.base import Command
from recnas.cli.flags import reader
from recnas.runs.portfolios import Learned, learn_portfolio
from recnas.util.errors import InputError

SIZE = 16


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", type=Path, nargs="+", metavar="RUN", help="folders of runs, of as many data sets as there are"
    )
    parser.add_argument("--output", type=Path, help="the file to write, for `recnas search --portfolio`")
    parser.add_argument(
        "--size",
        type=reader(int),
        default=SIZE,
        metavar="N",
        help=f"networks at most, beside trees (default: {SIZE})",
    )


def _run(arguments: argparse.Namespace) -> None:
    if arguments.size < 1:
        raise InputError(f"--size is {arguments.size}; it must be 1 or more")
    learned = learn_portfolio(arguments.run, arguments.size)
    print(_table(learned))
    if arguments.output is not None:
        save_portfolio(learned.members, arguments.output)
        print(f"\nwrote {arguments.output}")


def _table(learned: Learned) -> str:
    """The members, then what they are worth on each data set."""
    lines = [f"{place:2}  {_described(member)}" for place, member in enumerate(learned.members, start=1)]
    lines += ["", f"{'data set':<20} {'candidates':>10} {'lowest log loss':>16} {'left out: regret':>17}"]
    for data, known in learned.losses.items():
        regret = learned.left_out.get(data)
        shown = "-" if regret is None else f"{regret:.2f}"
        lines.append(f"{data:<20} {len(known):>10} {learned.best[data]:>16.4f} {shown:>17}")
    lines.append(
        "\nleft out: of a portfolio learned on the other data sets, how far its best is from the lowest; 1: as far as "
        "the median"
    )
    return "\n".join(lines)


def _described(member: Member) -> str:
    """A member in one line."""
    candidate = member.candidate
    network, recipe = candidate.network, candidate.recipe
    choices = dict(network.choices) if isinstance(network, Baseline) else {}
    parts = [network.name if isinstance(network, Baseline) else network.id]
    parts += [f"{key} {written(value)}" for key, value in choices.items()]
    if recipe is not None:
        parts += [
            f"rate {recipe.optimization.learning_rate:g}",
            f"penalty {recipe.optimization.embedding_penalty:g}",
            f"E {recipe.embedding_dim}",
            f"epochs {recipe.epochs}",
        ]
    parts.append("+".join(candidate.inputs.numbers))
    if member.joint_ids is not None:
        parts.append(f"{member.joint_ids} joint ids")
    return ", ".join(parts)


PORTFOLIO = Command(
    "portfolio",
    "runs -> a portfolio: what other searches begin with",
    "choose, from what runs have trained, few candidates of which one is good whatever the data set is like",
    "recnas portfolio runs/* --output mine.yaml",
    _add_flags,
    _run,
)
