"""Tables of trained candidates: made once, then asked in the place of training, so that searches are simulated.

>>> table = recnas.bench.load("runs/table/table.parquet")
>>> candidate = next(iter(table))
>>> table.query(candidate, fidelity=0.2, seed=0).validation.log_loss
>>> recnas.bench.fit(table).mean(table.space.joint.draw(random.Random(0))).test
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recnas.bench.surrogate import Surrogate
    from recnas.bench.table import Table

__all__ = ["build", "fit", "load", "tables"]


def load(name: str | Path) -> Table:
    """A table of trained candidates.

    Args:
        name: That of one that recnas comes with, see `tables`, or a Parquet file of `recnas bench build`.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    from recnas.bench.shipped import open_table

    return open_table(name)


def tables() -> list[str]:
    """The names of the tables that recnas comes with."""
    from recnas.bench.shipped import shipped_tables

    return shipped_tables()


def fit(table: Table, seed: int = 0) -> Surrogate:
    """What guesses the outcome of candidates that a table does not have.

    Args:
        table: What it is fitted to.
        seed: Of its folds and boosters.

    Raises:
        InputError: There are too few candidates, or held-out ones are ordered with a τ below 0.6.
    """
    from recnas.bench.surrogate import Surrogate

    return Surrogate(table, seed)


def build(
    data: str | Path | None = None,
    run: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Table:
    """Makes a table: random candidates, each trained from scratch with several seeds, and scored by every proxy.

    Args:
        data: The data set's folder.
        run: The folder for everything that is measured.
        overwrite: Replace an earlier table in that folder.
        resume: Go on with the table in that folder, if there is one, also with more candidates or seeds.
        progress: Show how far it is, on standard error.
        **settings: See `recnas.bench.settings.TableSettings`.

    Raises:
        InputError: The data set or the settings do not fit, or the folder is taken.
        RunError: A warm-up diverged.

    A script calls this under `if __name__ == "__main__":`, as every worker process imports the script.
    """
    from recnas.bench.settings import TableSettings
    from recnas.runs.presets import resolve
    from recnas.util.errors import InputError

    if overwrite and resume:
        raise InputError("--overwrite makes a table anew, --resume goes on with it; take one of them")
    resolved = resolve(TableSettings, data, run, None, resume, settings)
    from recnas.bench.building import build_table

    return load(build_table(resolved, overwrite=overwrite, resume=resume, progress=progress))
