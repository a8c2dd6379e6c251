"""Raw logs → data sets: one recipe per kind of log, one engine for all."""

import errno
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.engine import RawTable, write_data_set
from recnas.data_prep.folder import new_folder
from recnas.data_prep.like import made_like, schema_like, unseen_lines
from recnas.data_prep.recipe import RECIPES, find_recipe
from recnas.data_prep.split import SEED, SPLIT_KINDS, AutoCTRSplit, HashSplit, Split, TimeSplit, WholeSplit
from recnas.data_prep.spread import spread_over
from recnas.features.schema import Schema
from recnas.util.console import Console
from recnas.util.errors import InputError, RunError

__all__ = ["RECIPES", "find_recipe", "prepare", "unseen_lines"]


# Each recipe is declared in a module of its name; this is their order in the help.
for _name in ("criteo", "avazu", "kdd", "movielens", "flights", "tabular", "synthetic"):
    import_module(f"{__name__}.{_name}")


def prepare(
    name: str,
    output: str | Path,
    input: Any = None,
    overwrite: bool = False,
    on_bad_row: str = "error",
    split: str = "autoctr",
    split_seed: int = SEED,
    split_by: str | Sequence[str] = (),
    progress: bool = True,
    ray: str | None = None,
    like: str | Path | None = None,
    **options: Any,
) -> Schema:
    """Makes a data set from a raw log.

    Memory stays bounded whatever the size of the input; while it runs, the output's disk holds a temporary copy of
    the parsed rows (about 160 bytes a row for Criteo).

    Args:
        name: a recipe of `RECIPES`, or `module:function` for one of your own; see `recipe.recipe`.
        output: the data set's folder; it appears when complete.
        input: the raw file, a pattern of names or a folder, as the recipe's help says; files that end in `.gz`,
            `.zst` or `.zip` are unpacked. For "tabular" also a pandas or Polars DataFrame, a Polars LazyFrame or a
            pyarrow Table.
        overwrite: replace a data set of that name.
        on_bad_row: "error" stops at the first row that does not fit; "skip" sets such rows aside in
            `rejected-rows.txt` of the data set and counts them in its `source.rejected_rows`.
        split: how rows are parted into training, validation and test, about 8 : 1 : 1: "autoctr", stratified by label
            and random, as published; "hash", by a hash of each row, so that the same row has the same place whatever
            file it comes in; "time", the past, what follows, the latest;
            "test", all rows for the test, which a small log and a day's log to evaluate on want.
        split_seed: of "autoctr" and "hash".
        split_by: for "hash" the features, or the one, of which only they are hashed, so that rows of the same
            user, say, stay together.
        progress: show progress on the terminal, if there is one.
        ray: a Ray cluster whose tasks read the files, one each: "local" for one on this machine, "auto", or HOST:PORT;
            all machines share input and output. The data set is the same.
        like: a data set, or an exported model, of an earlier log of the same form: its columns, transforms with their
            means, tables, known values and vocabularies are taken, and nothing is measured anew, so that its models can
            be evaluated on this log or trained further; the schema's `source.unseen` says how much is new to them.
        options: the recipe's own; see `find_recipe(name).options`.

    Returns:
        The data set's schema.

    Raises:
        InputError: the input does not fit, or the output is there already.
        RunError: the disk is full.

    Example:
        prepare("movielens", "data/movielens")
    """
    recipe = find_recipe(name)
    if wrong := sorted(set(options) - set(recipe.options)):
        raise InputError(f"{name} has no option {wrong[0]}; its own are: {', '.join(recipe.options) or 'none'}")
    if isinstance(input, str | os.PathLike):
        input = Path(input)
    elif input is not None and not recipe.tables:
        raise InputError(f"{name} reads files; input is a {type(input).__name__}, give a file's name")
    if ray is not None and not recipe.spreads:
        spreading = ", ".join(key for key, item in RECIPES.items() if item.spreads)
        raise InputError(f"{name} is prepared in one process; --ray is for {spreading}")
    if isinstance(split_by, str):
        split_by = [split_by]
    output = Path(output)
    schema = None if like is None else schema_like(like)
    if schema is not None and recipe.beside_like is not None:
        if taken := sorted(set(options) - set(recipe.beside_like)):
            raise InputError(f"--{taken[0].replace('_', '-')} does not go with --like: {like} says it; leave one out")
        options["like"] = schema
    try:
        with new_folder(output, overwrite) as folder:
            bad_rows = BadRows(folder, on_bad_row)
            try:
                with spread_over(ray, folder, Console(progress).say):
                    table = recipe.read(input, bad_rows, progress, **options)
                    if schema is not None and recipe.beside_like is None:
                        table = made_like(table, schema, like)
                    parting = make_split(split, split_seed, split_by, table)
                    return write_data_set(folder, table, parting, bad_rows, progress)
            finally:
                bad_rows.close()
    except (OSError, pl.exceptions.PolarsError) as error:
        # Polars says some errors of the system in words.
        if getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error):
            raise RunError(f"{output}: the disk is full; free some space or choose another --output") from None
        raise


def make_split(kind: str, seed: int, by: Sequence[str], table: RawTable) -> Split:
    """The split that a user asked for.

    Raises:
        InputError: there is no such split, or the rows have not what it needs.
    """
    if kind not in SPLIT_KINDS:
        raise InputError(f"--split {kind} is none of {', '.join(SPLIT_KINDS)}")
    if by and kind != "hash":
        raise InputError(f"--split-by is for --split hash, not for --split {kind}")
    if not 0 <= seed < 2**32:
        raise InputError(f"--split-seed {seed}: it must be from 0 to {2**32 - 1}")
    if kind == "test":
        if table.measures:
            raise InputError(
                "--split test leaves no rows for training, from which means and tables are measured; "
                "add --like MODEL_OR_DATA"
            )
        return WholeSplit()
    if kind == "autoctr":
        return AutoCTRSplit(table.label, seed)
    if kind == "time":
        if table.time is None:
            raise InputError("--split time: these rows have no time; choose another --split")
        return TimeSplit(table.time)
    columns = [table.label, *table.dense, *(feature.name for feature in table.sparse)]
    if unknown := [name for name in by if name not in columns]:
        raise InputError(f"--split-by {unknown[0]}: there is no such feature; there are {', '.join(columns[1:])}")
    return HashSplit(columns, by, seed)
