"""`python -m recnas.train MODEL --data DATA`: goes on training an exported model, also under `torchrun`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recnas.cli.flags import add_setting_flags, given_sharding
from recnas.cli.memory_remedy import memory_remedy
from recnas.runs.settings import Settings
from recnas.train.loop import Progress
from recnas.util.console import Console
from recnas.util.exits import exit_code, print_all_letters

if TYPE_CHECKING:
    from recnas.export import Continued


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses, trains, prints; gives the exit code: 0, 1 for a failure, 2 for bad input."""
    print_all_letters()
    options = _parser().parse_args(arguments)
    return exit_code(
        partial(_train, options),
        options.debug,
        "; the same command with --resume goes on",
        partial(memory_remedy, Path(options.model), None),
    )


def _train(options: argparse.Namespace) -> None:
    # This front stands above the rooms although it lies in one: nothing imports it, so rooms still import one way.
    from recnas.export import continue_training
    from recnas.nn.model import default_device

    with _progress_bar() as report:
        result = continue_training(
            options.model,
            options.data,
            options.model if options.in_place else options.output,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            batch_size=options.batch_size,
            seed=options.seed,
            keep=options.keep,
            overwrite=options.in_place or options.overwrite,
            resume=options.resume,
            checkpoint_seconds=options.checkpoint_seconds,
            sharding=given_sharding(options),
            device=default_device(),
            report=report,
        )
    print(_shown(result))
    if result.worse:
        print(
            f"WARNING: the model is worse on validation than it was: log loss {result.before.log_loss:.6f} before this "
            f"training, {result.after.log_loss:.6f} after epoch {result.kept}, which was kept; a smaller "
            "--learning-rate may help"
        )


def _shown(result: Continued) -> str:
    """What a training came to: a line for each epoch, with a mark at the one that was kept."""
    if not result.epochs:
        after = f"validation log loss {result.after.log_loss:.6f}  AUC {result.after.auc:.6f}"
        return f"{result.directory} is finished\n{after}"
    lines = [
        f"{'':<8}{'training':>10}{'validation':>12}",
        f"{'epoch':<8}{'log loss':>10}{'log loss':>12}{'AUC':>10}",
    ]
    lines.append(f"{'before':<8}{'':>10}{result.before.log_loss:>12.6f}{result.before.auc:>10.6f}")
    for epoch in result.epochs:
        mark = "  <- kept" if epoch.number == result.kept else ""
        figures = f"{epoch.train_loss:>10.6f}{epoch.validation.log_loss:>12.6f}{epoch.validation.auc:>10.6f}"
        lines.append(f"{epoch.number:<8}{figures}{mark}")
    return "\n".join([*lines, f"written to {result.directory}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recnas.train",
        description="Goes on training an exported model with its optimiser's settings, and exports the epoch that is "
        "best on validation.",
        epilog="examples:\n"
        "  python -m recnas.train models/criteo --data data/criteo --output models/criteo-2\n"
        "  torchrun --nproc-per-node 8 -m recnas.train models/criteo --data data/criteo --output models/criteo-2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="folder that `recnas export` wrote")
    parser.add_argument("--data", required=True, help="data set with the model's features")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", help="folder for the trained model")
    place.add_argument("--in-place", action="store_true", help="replace the model by the trained one")
    parser.add_argument("--overwrite", action="store_true", help="replace an exported model at --output")
    parser.add_argument("--resume", action="store_true", help="go on with a training that was stopped, if there is one")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the training rows (default: 1)")
    parser.add_argument(
        "--keep",
        choices=("best", "last"),
        default="best",
        help="which epoch's weights are written: the best on validation, or the last (default: best)",
    )
    parser.add_argument("--learning-rate", type=float, help="peak of the schedule (default: as before)")
    parser.add_argument("--batch-size", type=int, help="rows a step, of all processes together (default: as before)")
    parser.add_argument("--seed", type=int, default=0, help="decides the rows' order (default: 0)")
    parser.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=120.0,
        help="seconds between two writes of the training's state (default: 120)",
    )
    parser.add_argument("--debug", action="store_true", help="show the stack trace of an error")
    add_setting_flags(parser, Settings, only=["sharding"])
    return parser


@contextmanager
def _progress_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar on stderr that appears with the first report."""
    with ExitStack() as stack:
        bar = None

        def report(progress: Progress) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(Console(True).bar(progress.steps, "training", "steps"))
            bar.update(progress.step - bar.done, f"loss {progress.loss:.4f}, {progress.rows_per_second:,.0f} rows/s")

        yield report


if __name__ == "__main__":
    sys.exit(main())
