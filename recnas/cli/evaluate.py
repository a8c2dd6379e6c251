"""`recnas evaluate`: how well an exported model predicts."""

from __future__ import annotations

import argparse
from pathlib import Path

from recnas.cli.base import Command, add_code_flag


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="the exported model's folder")
    parser.add_argument("--data", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: test")
    add_code_flag(parser)


def _run(arguments: argparse.Namespace) -> None:
    from recnas.export import evaluate_export

    quality = evaluate_export(arguments.model, arguments.data, arguments.split)
    print(f"{arguments.split} log loss {quality.log_loss:.6f}, AUC {quality.auc:.6f}")


EVALUATE = Command(
    "evaluate",
    "exported model, data set -> log loss and AUC",
    "print an exported model's log loss and AUC",
    "recnas evaluate models/criteo --data data/criteo --split test",
    _add_flags,
    _run,
)
