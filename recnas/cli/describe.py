"""`recnas describe`: what is in a data set."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from recnas.cli.base import Command

if TYPE_CHECKING:
    from recnas.data import ProposedCross


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="DATA", help="the data set's folder")
    parser.add_argument(
        "--joint-ids",
        action="store_true",
        help="also which features interact, told from the training rows: see --cross",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _run(arguments: argparse.Namespace) -> None:
    from recnas.data import Dataset, describe, propose_crosses

    description = describe(arguments.data)
    proposed = propose_crosses(Dataset(arguments.data, needed=("train",))) if arguments.joint_ids else None
    if arguments.json:
        joint_ids = {} if proposed is None else {"joint_ids": [asdict(item) for item in proposed]}
        print(json.dumps(description.to_json() | joint_ids, indent=2))
        return
    print(description)
    if proposed is not None:
        print("\n" + _table(proposed))


def _table(proposed: Sequence[ProposedCross]) -> str:
    if not proposed:
        return "no features interact, as far as can be told from chance"
    width = max(len("joint id"), *(len(item.cross) for item in proposed))
    lines = [f"{'joint id':<{width}} {'values':>12} {'log loss won, one after the other':>34}"]
    lines += [f"{item.cross:<{width}} {item.values:>12,} {item.gain:>34.5f}" for item in proposed]
    return "\n".join(lines)


DESCRIBE = Command(
    "describe",
    "data set -> what is in it: rows, click rates, features, table collisions, joint ids",
    "print what is in a data set, feature by feature",
    "recnas describe data/criteo",
    _add_flags,
    _run,
)
