"""`python -m recnas.train MODEL --data DATA`: goes on training an exported model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from recnas.console import Console
from recnas.errors import InputError, RunError
from recnas.train.loop import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses, trains, prints; gives the exit code: 0, 1 for a failure, 2 for bad input."""
    options = _parser().parse_args(arguments)
    # This front stands above the rooms although it lies in one: nothing imports it, so rooms still import one way.
    from recnas.export import continue_training
    from recnas.nn.model import default_device

    try:
        with _progress_bar() as report:
            result = continue_training(
                options.model,
                options.data,
                options.model if options.in_place else options.output,
                epochs=options.epochs,
                learning_rate=options.learning_rate,
                batch_size=options.batch_size,
                seed=options.seed,
                overwrite=options.in_place or options.overwrite,
                device=default_device(),
                report=report,
            )
    except (InputError, RunError, OSError) as error:
        print(f"recnas: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("recnas: interrupted", file=sys.stderr)
        return 130
    print(f"training loss      {result.train_loss:.6f}")
    for when, quality in (("before", result.before), ("after", result.after)):
        print(f"validation {when:7}log loss {quality.log_loss:.6f}  AUC {quality.auc:.6f}")
    print(f"written to {result.directory}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recnas.train",
        description="Goes on training an exported model with its optimiser's settings, and exports the outcome.",
        epilog="example: python -m recnas.train models/criteo --data data/criteo --output models/criteo-2",
    )
    parser.add_argument("model", help="folder that `recnas export` wrote")
    parser.add_argument("--data", required=True, help="data set with the model's features")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", help="folder for the trained model")
    place.add_argument("--in-place", action="store_true", help="replace the model by the trained one")
    parser.add_argument("--overwrite", action="store_true", help="replace an exported model at --output")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the training rows (default: 1)")
    parser.add_argument("--learning-rate", type=float, help="peak of the schedule (default: as before)")
    parser.add_argument("--batch-size", type=int, help="rows a step (default: as before)")
    parser.add_argument("--seed", type=int, default=0, help="decides the rows' order (default: 0)")
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
