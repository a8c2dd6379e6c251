"""Raw logs → data sets: one recipe per kind of log, one engine for all."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.avazu import read_avazu
from data_prep.bad_rows import BadRows
from data_prep.criteo import read_criteo
from data_prep.engine import RawTable, write_data_set
from data_prep.folder import new_folder
from data_prep.kdd import read_kdd
from data_prep.movielens import read_movielens
from recnas.errors import InputError, RunError
from recnas.schema import Schema

__all__ = ["RECIPES", "Recipe", "prepare"]


@dataclass(frozen=True)
class Recipe:
    """How one kind of raw log is read.

    Args:
        read: given the input (None: nothing given), where bad rows go, whether to show progress, and the recipe's own
            options by name, gives the rows.
        help: one line for the command line.
        options: names of its own options.
    """

    read: Callable[..., RawTable]
    help: str
    options: tuple[str, ...] = ()


RECIPES: dict[str, Recipe] = {
    "criteo": Recipe(
        read_criteo, "Criteo's click logs; --input train.txt, a folder of day_0, day_1 … or a pattern 'day_*'"
    ),
    "avazu": Recipe(read_avazu, "Avazu's click log; --input train", ("time_features",)),
    "kdd": Recipe(read_kdd, "KDD Cup 2012, track 2; --input folder of training.txt and userid_profile.txt"),
    "movielens": Recipe(
        read_movielens, "MovieLens-100K, rating >= 4 is the click; from the recbole package or --input folder"
    ),
}


def prepare(
    name: str,
    output: str | Path,
    input: str | Path | None = None,
    overwrite: bool = False,
    on_bad_row: str = "error",
    progress: bool = True,
    **options: Any,
) -> Schema:
    """Makes a data set from a raw log.

    Memory stays bounded whatever the size of the input; while it runs, the output's disk holds a temporary copy of
    the parsed rows (about 160 bytes a row for Criteo).

    Args:
        name: a recipe of `RECIPES`.
        output: the data set's folder; it appears when complete.
        input: the raw file, a pattern of names or a folder, as the recipe's help says; files that end in `.gz` or
            `.zst` are unpacked.
        overwrite: replace a data set of that name.
        on_bad_row: "error" stops at the first row that does not fit; "skip" sets such rows aside in
            `rejected-rows.txt` of the data set and counts them in its `source.rejected_rows`.
        progress: show progress on the terminal, if there is one.
        options: the recipe's own: `time_features=True` for avazu adds hour of the day and weekday.

    Returns:
        The data set's schema.

    Raises:
        InputError: the input does not fit, or the output is there already.
        RunError: the disk is full.

    Example:
        prepare("movielens", "data/movielens")
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; take one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if wrong := sorted(set(options) - set(recipe.options)):
        flag = "--" + wrong[0].replace("_", "-")
        known = [other for other, item in RECIPES.items() if wrong[0] in item.options]
        raise InputError(f"{flag} is {f'for {known[0]}, not for {name}' if known else 'no option'}")
    output = Path(output)
    try:
        with new_folder(output, overwrite) as folder:
            bad_rows = BadRows(folder, on_bad_row)
            try:
                table = recipe.read(None if input is None else Path(input), bad_rows, progress, **options)
                return write_data_set(folder, table, bad_rows, progress)
            finally:
                bad_rows.close()
    except OSError as error:
        if error.errno == errno.ENOSPC or "os error 28" in str(error):
            raise RunError(f"{output}: the disk is full; free some space or choose another --output") from None
        raise
