"""`recnas describe`: what is in a data set."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from recnas.cli.base import Command


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="DATA", help="the data set's folder")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _run(arguments: argparse.Namespace) -> None:
    from recnas.data import describe

    description = describe(arguments.data)
    print(json.dumps(description.to_json(), indent=2) if arguments.json else description)


DESCRIBE = Command(
    "describe",
    "data set -> what is in it: rows, click rates, features, table collisions",
    "print what is in a data set, feature by feature",
    "recnas describe data/criteo",
    _add_flags,
    _run,
)
