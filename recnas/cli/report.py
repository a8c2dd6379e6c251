"""`recnas report`: a run as a page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path

from recnas.cli.base import Command, add_code_flag


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    add_code_flag(parser)


def _run(arguments: argparse.Namespace) -> None:
    from recnas.report import write_report

    print(f"wrote {write_report(arguments.run)}")


REPORT = Command(
    "report",
    "run -> report.html, to look at",
    "write a run's report.html",
    "recnas report runs/criteo",
    _add_flags,
    _run,
)
