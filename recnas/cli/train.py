"""`recnas train`: an exported model is trained further, on rows it knows or on new ones, also under `torchrun`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recnas.cli.base import Command, add_code_flag
from recnas.cli.flags import add_setting_flags, given_settings, given_sharding
from recnas.cli.memory_remedy import memory_remedy
from recnas.runs.settings import Settings
from recnas.util.console import Console

if TYPE_CHECKING:
    from recnas.export import Continued, ContinuedEnsemble
    from recnas.train.loop import Progress

TRAINING = ("seed", "checkpoint_seconds")
"""The settings of a search that count here, too, besides those of the tables."""


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder that `recnas export` wrote")
    parser.add_argument("--data", type=Path, required=True, help="data set with the model's features")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", type=Path, help="folder for the trained model")
    place.add_argument("--in-place", action="store_true", help="replace the model by the trained one")
    parser.add_argument("--overwrite", action="store_true", help="replace an exported model at --output")
    parser.add_argument("--resume", action="store_true", help="resume a training that was stopped, if there is one")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the training rows, at most (default: 1)")
    parser.add_argument(
        "--keep",
        choices=("best", "last"),
        default="best",
        help="which measurement's weights are written: the best on validation, or the last (default: best)",
    )
    parser.add_argument("--learning-rate", type=float, help="peak of the schedule (default: as before)")
    parser.add_argument("--batch-size", type=int, help="rows a step, of all processes together (default: as before)")
    add_code_flag(parser)
    add_setting_flags(parser, Settings, only=[*TRAINING, "sharding"])


def _run(arguments: argparse.Namespace) -> None:
    from recnas.export import ContinuedEnsemble, continue_training
    from recnas.nn.model import default_device

    training = {name: value for name, value in given_settings(arguments).items() if name in TRAINING}
    with _progress_bar() as report:
        result = continue_training(
            arguments.model,
            arguments.data,
            arguments.model if arguments.in_place else arguments.output,
            epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            batch_size=arguments.batch_size,
            keep=arguments.keep,
            overwrite=arguments.in_place or arguments.overwrite,
            resume=arguments.resume,
            sharding=given_sharding(arguments),
            device=default_device(),
            report=report,
            **training,
        )
    print(_shown(result))
    if result.worse:
        kept = "" if isinstance(result, ContinuedEnsemble) else f" after epoch {result.kept:g}, which was kept"
        print(
            f"WARNING: the model is worse on validation than it was: log loss {result.before.log_loss:.6f} before this "
            f"training, {result.after.log_loss:.6f}{kept}; a smaller --learning-rate may help"
        )


def _shown(result: Continued | ContinuedEnsemble) -> str:
    """What a training came to: a line for each measurement, with a mark at the one that was kept."""
    from recnas.export import ContinuedEnsemble

    if result.before is None:
        after = f"validation log loss {result.after.log_loss:.6f}  AUC {result.after.auc:.6f}"
        return f"{result.directory} is finished\n{after}"
    if isinstance(result, ContinuedEnsemble):
        members = [f"member {number}\n{_measured(member)}\n" for number, member in result.members]
        figures = [
            f"{name:<18}{quality.log_loss:>12.6f}{quality.auc:>10.6f}"
            for name, quality in (("before", result.before), ("after", result.after))
        ]
        return "\n".join([*members, "ensemble", *figures, f"written to {result.directory}"])
    return f"{_measured(result)}\nwritten to {result.directory}"


def _measured(result: Continued) -> str:
    lines = [
        f"{'':<8}{'training':>10}{'validation':>12}",
        f"{'epoch':<8}{'log loss':>10}{'log loss':>12}{'AUC':>10}",
    ]
    if result.before is None:
        lines.append(f"{'before':<18}{result.after.log_loss:>12.6f}{result.after.auc:>10.6f}  <- done before")
        return "\n".join(lines)
    lines.append(f"{'before':<8}{'':>10}{result.before.log_loss:>12.6f}{result.before.auc:>10.6f}")
    for epoch in result.epochs:
        mark = "  <- kept" if epoch.number == result.kept else ""
        figures = f"{epoch.train_loss:>10.6f}{epoch.validation.log_loss:>12.6f}{epoch.validation.auc:>10.6f}"
        lines.append(f"{epoch.number:<8.4g}{figures}{mark}")
    return "\n".join(lines)


@contextmanager
def _progress_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar on stderr that appears with the first report of each training."""
    with ExitStack() as stack:
        bar = None

        def report(progress: Progress) -> None:
            nonlocal bar
            if bar is None or progress.step < bar.done:
                # The first, or the next member of an ensemble.
                stack.close()
                bar = stack.enter_context(Console(True).bar(progress.steps, "training", "steps"))
            bar.update(progress.step - bar.done, f"loss {progress.loss:.4f}, {progress.rows_per_second:,.0f} rows/s")

        yield report


TRAIN = Command(
    "train",
    "exported model, data set -> the model, trained further",
    "train an exported model further by its recipe, and export what is best on validation",
    "recnas train models/criteo --data data/criteo --output models/criteo-2\n"
    "torchrun --nproc-per-node 8 -m -- recnas train models/criteo --data data/criteo --output models/criteo-2",
    _add_flags,
    _run,
    resumes=True,
    memory_remedy=lambda arguments: memory_remedy(arguments.model, None),
)
