"""`recnas prepare`: a raw click log becomes a data set; each recipe is a command of its own."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recnas.cli.base import Command, add_debug_flag, example_text
from recnas.cli.flags import metavar
from recnas.data_prep.bad_rows import POLICIES
from recnas.data_prep.recipe import RECIPES, Recipe, find_recipe
from recnas.data_prep.split import SEED, SPLIT_KINDS
from recnas.features.scale import far_out
from recnas.util.errors import InputError
from recnas.util.printable import printable
from recnas.util.setting import flag_named
from recnas.util.user_code import is_user_code

LOG_LOSSES = {
    "best_log_loss": "best reachable log loss",
    "constant_log_loss": "log loss of the constant click rate",
}
"""Log losses by split that a recipe may know, by their name in the schema's `source`."""
MEMORY_REMEDY = (
    "many or long columns take it, as some 16 MB of text are read at a time on each core; name the columns that are "
    "features, or run it on fewer cores (taskset -c 0)"
)


def import_own_recipe(argv: Sequence[str]) -> None:
    """Imports a recipe `module:function` that a command line names, so that its options are known.

    Raises:
        InputError: There is none.
    """
    name = next((text for text in argv[1:] if not text.startswith("-")), "")
    if argv[:1] == [PREPARE.name] and is_user_code(name):
        find_recipe(name)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    recipes = parser.add_subparsers(
        title="recipes",
        metavar="RECIPE",
        required=True,
        description="module:function is one of your own; see recnas.data_prep.recipe",
    )
    for recipe in RECIPES.values():
        _add_recipe(recipes, recipe)


def _add_recipe(recipes: Any, recipe: Recipe) -> None:
    """The command `recnas prepare NAME`."""
    sub = recipes.add_parser(
        recipe.name,
        help=recipe.help,
        description=f"{recipe.help}.",
        epilog=example_text(recipe.example),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.set_defaults(recipe=recipe.name)
    sub.add_argument("--input", type=Path, help="the raw file, a pattern of names, or a folder")
    sub.add_argument("--output", type=Path, required=True, help="the data set's folder; it appears when complete")
    for option, about in recipe.options.items():
        if not about.flag:
            continue
        flag = flag_named(option)
        # What is not given keeps the recipe's default.
        if about.type is bool:
            sub.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=about.help)
        else:
            sub.add_argument(
                flag,
                type=about.type,
                nargs="*" if about.several else None,
                choices=about.choices,
                default=argparse.SUPPRESS,
                metavar=None if about.choices else about.metavar or metavar(about.type),
                help=about.help,
            )
    if "confirm" in recipe.options:
        sub.add_argument("--yes", action="store_true", help="do not ask whether what was inferred is right")
    if recipe.spreads:
        sub.add_argument(
            "--ray",
            metavar="ADDRESS",
            help="a Ray cluster that reads many files, a task each: local, auto or HOST:PORT",
        )
    sub.add_argument("--overwrite", action="store_true", help="replace a data set of that name")
    sub.add_argument(
        "--on-bad-row",
        choices=POLICIES,
        default="error",
        help="stop at a row that does not fit, or set such rows aside in a file (default: error)",
    )
    sub.add_argument(
        "--split",
        choices=SPLIT_KINDS,
        default="autoctr",
        help="train, validation, test: stratified and random as published, by a hash of each row, the past and what "
        "follows, or all rows for the test (default: autoctr)",
    )
    sub.add_argument(
        "--like",
        metavar="PATH",
        help="a data set or exported model of an earlier log: its columns, means, tables and known values are taken, "
        "nothing is measured anew, so that its models can take this log",
    )
    sub.add_argument("--split-seed", type=int, default=SEED, metavar="N", help=f"of autoctr and hash (default: {SEED})")
    sub.add_argument(
        "--split-by",
        nargs="*",
        default=(),
        metavar="NAME",
        help="with --split hash: the features to hash, whose equal rows stay together",
    )
    sub.add_argument(
        "--quiet", action="store_true", help="no progress bar, nor notes; with --yes not the inferred roles either"
    )
    add_debug_flag(sub)


def _run(arguments: argparse.Namespace) -> None:
    from recnas.data_prep import prepare, unseen_lines

    given = vars(arguments)
    known = find_recipe(arguments.recipe).options
    options = {name: value for name in known if (value := given.get(name)) is not None}
    if "confirm" in known and not arguments.yes:
        options["confirm"] = _confirm
    schema = prepare(
        arguments.recipe,
        arguments.output,
        input=arguments.input,
        overwrite=arguments.overwrite,
        on_bad_row=arguments.on_bad_row,
        split=arguments.split,
        split_seed=arguments.split_seed,
        split_by=arguments.split_by,
        progress=not arguments.quiet,
        ray=given.get("ray"),
        like=arguments.like,
        **options,
    )
    for split, counts in schema.splits.items():
        if counts["rows"]:
            print(f"{split:<11} {counts['rows']:>12,} rows, {schema.positive_rate(split):.2%} clicks")
    if schema.positive is not None:
        print(f"a click is a row whose {schema.label} is {' or '.join(schema.positive)}")
    if negatives := schema.source.get("negatives"):
        print("no click: " + ", ".join(f"{word} ({count:,} rows)" for word, count in list(negatives.items())[:10]))
    print(f"{len(schema.dense)} dense and {schema.num_sparse} sparse features in {arguments.output}")
    for name, text in LOG_LOSSES.items():
        if losses := schema.source.get(name):
            print(f"{text}: " + ", ".join(f"{split} {loss:.4f}" for split, loss in losses.items()))
    for line in unseen_lines(schema):
        print(line)
    if rejected := schema.source.get("rejected_rows"):
        print(f"{rejected:,} bad rows set aside in {arguments.output / 'rejected-rows.txt'}")
    for line in far_out(arguments.output, schema):
        print(line)


def _confirm(plan: str) -> None:
    """Shows what was inferred and asks if it is right; raises InputError if not, or if nobody can be asked."""
    print(printable(plan), file=sys.stderr)
    if not sys.stdin.isatty():
        raise InputError("the columns' roles were inferred; add --yes if they are right, or name the columns")
    print("Prepare like this? [y/N] ", end="", file=sys.stderr, flush=True)
    # Polars has a handler of its own for it, after which reading would go on until Enter.
    signal.siginterrupt(signal.SIGINT, True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("nothing was prepared; name the columns with --label, --dense, --sparse, --multi, --time")


PREPARE = Command(
    "prepare",
    "raw click log -> data set",
    "make a data set from a raw click log",
    "recnas prepare criteo --input train.txt --output data/criteo",
    _add_flags,
    _run,
    memory_remedy=lambda arguments: MEMORY_REMEDY,
)
