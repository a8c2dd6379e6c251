"""`recnas status`: how far a run is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from recnas.cli.base import Command
from recnas.runs.folder import command_of
from recnas.runs.result_table import result_table
from recnas.study import StudySettings


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _run(arguments: argparse.Namespace) -> None:
    if command_of(arguments.run) == StudySettings.command:
        from recnas.study.status import read_study_status as read_status
        from recnas.study.text import to_text as table
    else:
        from recnas.runs.status import read_status

        table = result_table
    status = read_status(arguments.run)
    if arguments.json:
        print(json.dumps(status.to_json(), indent=2))
        return
    print(status)
    if status.results is not None:
        print(f"\n{table(status.results)}")


STATUS = Command(
    "status",
    "run -> how far it is, while it goes on or after it was stopped",
    "print how far a run is, or its results",
    "recnas status runs/criteo",
    _add_flags,
    _run,
)
