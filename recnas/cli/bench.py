"""`recnas bench`: tables of trained candidates, and searches that are simulated on them."""

from __future__ import annotations

import argparse
from pathlib import Path

from recnas.bench.settings import TableSettings
from recnas.cli.base import Command
from recnas.cli.flags import add_setting_flags, given_settings
from recnas.cli.study import OTHERS as NOT_OF_STUDIES
from recnas.util.errors import InputError, suggested

ALL = "all"


def _add_flags(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    _add_build(actions.add_parser("build", help="data set -> a table: random candidates, trained and scored"))
    _add_pack(actions.add_parser("pack", help="what a table has so far -> one Parquet file, with its card"))
    _add_show(actions.add_parser("show", help="a table -> its card: what was trained, how, and what came of it"))
    _add_run(actions.add_parser("run", help="a table -> simulated searches of strategies, held against each other"))


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="the data set's folder")
    parser.add_argument("--run", type=Path, help="the folder for everything that is measured")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier table in that folder")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the table in that folder, as if it had never stopped; with more --candidates or --seeds, too",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    add_setting_flags(
        parser, TableSettings, without=[name for name in NOT_OF_STUDIES if name != "limits.latency_batch"]
    )
    parser.set_defaults(act=_build)


def _add_pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of `recnas bench build`")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the Parquet file (default: in that folder)")
    parser.set_defaults(act=_pack)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE", help="the name of a table that recnas comes with, or a Parquet file")
    parser.set_defaults(act=_show)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE", help="the name of a table that recnas comes with, or a Parquet file")
    parser.add_argument("--run", type=Path, required=True, help="the folder for what comes of it")
    parser.add_argument(
        "--strategies",
        nargs="+",
        default=[ALL],
        metavar="NAME",
        help="those that are held against each other, which train candidates (default: all but gp, which takes "
        "a second for each proposal)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier comparison in that folder")
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="searches of each (default: 100)")
    parser.add_argument(
        "--trainings",
        type=int,
        default=100,
        metavar="N",
        help="how long a search is, in median training times of the table (default: 100)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that simulate (default: one a core)")
    parser.add_argument(
        "--code",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODULE",
        help="imported first: the module of a search space of your own that the table is of",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(act=_run_searches)


def _run(arguments: argparse.Namespace) -> None:
    arguments.act(arguments)


def _build(arguments: argparse.Namespace) -> None:
    import recnas.bench

    table = recnas.bench.build(
        arguments.data,
        arguments.run,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        progress=not arguments.quiet,
        **given_settings(arguments),
    )
    print(f"{len(table):,} candidates, {len(table.frame):,} trainings")
    from recnas.bench.folder import TABLE

    print(f"\nlook at it: {suggested('recnas', 'bench', 'show', arguments.run / TABLE)}")


def _pack(arguments: argparse.Namespace) -> None:
    from recnas.bench.pack import pack

    print(f"wrote {pack(arguments.run, arguments.output)}")


def _show(arguments: argparse.Namespace) -> None:
    from recnas.bench.card import card_of
    from recnas.bench.shipped import path_of

    with path_of(arguments.table) as file:
        print(card_of(file))


def _run_searches(arguments: argparse.Namespace) -> None:
    from recnas.bench.run import PAGE, run_bench
    from recnas.bench.text import to_markdown
    from recnas.report.strategies import write_strategies_page
    from recnas.util.cores import available_cores

    for name in ("seeds", "trainings", "workers"):
        if (given := getattr(arguments, name)) is not None and given < 1:
            raise InputError(f"--{name} is {given}; it must be 1 or more")
    names = None if arguments.strategies == [ALL] else list(dict.fromkeys(arguments.strategies))
    results = run_bench(
        arguments.table,
        arguments.run,
        names,
        arguments.seeds,
        arguments.trainings,
        arguments.workers or available_cores(),
        arguments.overwrite,
        not arguments.quiet,
    )
    page = write_strategies_page(results, arguments.run)
    print(f"{to_markdown(results)}\nwrote {arguments.run / PAGE} and {page}, to look at")


BENCH = Command(
    "bench",
    "data set -> a table of trained candidates; a table -> strategies held against each other",
    "make a table of trained candidates, and simulate searches on it",
    "recnas bench build --data data/movielens --run runs/table --candidates 600 --seeds 2\n"
    "recnas bench run runs/table/table.parquet --strategies all --seeds 100 --run runs/strategies",
    _add_flags,
    _run,
)
