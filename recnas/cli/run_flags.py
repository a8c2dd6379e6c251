"""What the commands that make a run's folder have in common: flags, and what is said at the end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recnas.cli.flags import given_settings
from recnas.tracking import TRACKERS
from recnas.util.errors import suggested


def add_run_flags(
    parser: argparse.ArgumentParser, *, data: str, run: str, preset: str, overwrite: str, resume: str
) -> None:
    """The flags of a command that makes a run's folder, with what it says of each."""
    parser.add_argument("--data", type=Path, help=data)
    parser.add_argument("--run", type=Path, help=run)
    parser.add_argument("--preset", help=preset)
    parser.add_argument("--overwrite", action="store_true", help=overwrite)
    parser.add_argument("--resume", action="store_true", help=resume)
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def add_log_to(parser: argparse.ArgumentParser) -> None:
    """The flag of a command that makes a run, for the trackers that are told of it."""
    parser.add_argument(
        "--log-to",
        nargs="+",
        action="extend",
        default=[],
        choices=tuple(TRACKERS),
        help="tell MLflow of the run (where MLFLOW_TRACKING_URI says; needs the extra recnas[mlflow]); write event "
        "files for `tensorboard --logdir RUN/tensorboard` (needs the extra recnas[tensorboard])",
    )


def of_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `add_run_flags` and of the settings say, as every function that makes a run takes it."""
    return {
        "preset": arguments.preset,
        "overwrite": arguments.overwrite,
        "resume": arguments.resume,
        "progress": not arguments.quiet,
        **given_settings(arguments),
    }


def next_commands(run: str, log_to: Sequence[str]) -> str:
    """What to do with a finished run."""
    logged = ["--log-to", "mlflow"] if "mlflow" in log_to else []
    look = suggested("recnas", "report", Path(run))
    take = suggested("recnas", "export", Path(run), "--output", "models/NAME", *logged)
    return f"\nlook at it: {look}\ntake it:    {take}"
