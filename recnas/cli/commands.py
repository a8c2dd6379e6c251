"""The command line: a command parses, calls one function, and prints."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import typing
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recnas.cli.flags import (
    add_setting_flags,
    given_settings,
    given_sharding,
    joined,
    metavar,
    reader,
)
from recnas.cli.memory_remedy import memory_remedy
from recnas.data_prep import RECIPES, Recipe
from recnas.data_prep.bad_rows import POLICIES
from recnas.data_prep.split import SEED, SPLIT_KINDS
from recnas.features.scale import far_out
from recnas.nn.baselines import TITLES
from recnas.runs.folder import command_of
from recnas.runs.result_table import result_table
from recnas.search import BASELINE_LEARNING_RATES, Settings, run_baselines, run_search
from recnas.study import StudySettings, run_study
from recnas.tracking import TRACKERS, check_trackers
from recnas.util.errors import InputError, suggested
from recnas.util.exits import exit_code, print_all_letters
from recnas.util.printable import printable

DESCRIPTION = """\
recnas finds click-through-rate (CTR) models by itself.

From a click log to an exported model:

  prepare    raw click log -> data set
  describe   data set -> what is in it: rows, click rates, features, table collisions
  plan       data set -> where its embedding tables would lie on many processes, and the memory that takes
  search     data set -> run: thousands of candidates ranked, the best trained
  baselines  data set or run -> hand-made models (DLRM, DeepFM, ...), trained as a search trains its own
  study      data set -> how far each ranking can be trusted on it
  status     run -> how far it is, while it goes on or after it was stopped
  report     run -> report.html, to look at
  export     run -> the best model, to take to production
  evaluate   exported model, data set -> log loss and AUC

  python -m recnas.train   goes on training an exported model

Each command has an example: recnas COMMAND --help"""

LOG_LOSSES = {
    "best_log_loss": "best reachable log loss",
    "constant_log_loss": "log loss of the constant click rate",
}
"""Log losses by split that a recipe may know, by their name in the schema's `source`."""

OF_BASELINES = ("seed", "workers", "ray", "checkpoint_seconds", "sharding", "final.epochs", "final.optimization")
"""The settings of baselines trained without a search; of learning rates they take several."""
NOT_OF_A_STUDY = (
    "strategy",
    "warmup.amount",
    "proxy.score",
    "proxy.shortlist",
    "evolution",
    "limits.max_latency_ms",
    "limits.latency_batch",
    "limits.latency_threads",
    "final.top_k",
    "final.strategy",
    "final.first_share",
    "final.other_learning_rates",
    "final.baselines",
)
"""The settings of a search that a study does without, or has several of."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code, see `exit_code`."""
    print_all_letters()
    arguments = make_parser().parse_args(argv)
    goes_on = arguments.run_command in (_search, _baselines, _study)
    remedy = "; the same command with --resume goes on" if goes_on else ""
    return exit_code(
        partial(arguments.run_command, arguments), arguments.debug, remedy, partial(_memory_remedy, arguments)
    )


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command."""

    def error(self, message: str) -> typing.NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="recnas", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"recnas {version('recnas')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, does: str, example: str, run: Any) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run_command=run)
        sub.add_argument("--debug", action="store_true", help="show the stack trace of an error")
        return sub

    prepare = command(
        "prepare",
        "make a data set from a raw click log",
        "recnas prepare criteo --input train.txt --output data/criteo",
        None,
    )
    recipes = prepare.add_subparsers(metavar="RECIPE", required=True)
    for name, recipe in RECIPES.items():
        _add_recipe(recipes, name, recipe)

    describe = command(
        "describe", "print what is in a data set, feature by feature", "recnas describe data/criteo", _describe
    )
    describe.add_argument("data", type=Path, metavar="DATA", help="the data set's folder")
    describe.add_argument("--json", action="store_true", help="print it as JSON")

    plan = command(
        "plan",
        "show where embedding tables would lie on many processes, and the memory that takes",
        "recnas plan data/criteo --world-size 8 --device cuda",
        _plan,
    )
    plan.add_argument(
        "data", metavar="DATA", help="the data set's folder, or criteo, avazu or kdd for the published table sizes"
    )
    plan.add_argument("--world-size", type=int, required=True, metavar="N", help="processes, one a device")
    plan.add_argument("--local-world-size", type=int, metavar="N", help="processes of one host (default: all)")
    plan.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what they compute on (default: cpu)")
    plan.add_argument("--batch-size", type=int, default=512, metavar="N", help="rows a step of each (default: 512)")
    plan.add_argument("--max-rows-per-table", type=int, metavar="N", help="cap on the tables (default: none)")
    plan.add_argument(
        "--embedding-optimizer",
        default="rowwise-adagrad",
        metavar="NAME",
        help="rowwise-adagrad or adagrad (default: rowwise-adagrad)",
    )
    plan.add_argument("--json", action="store_true", help="print it as JSON")
    add_setting_flags(plan, Settings, only=["sharding"])

    search = command(
        "search",
        "find a model: rank thousands of candidates without training them, train the best from scratch",
        "recnas search --data data/criteo --preset criteo --run runs/criteo",
        _search,
    )
    _add_run_flags(
        search,
        data="the data set's folder",
        run="the folder for everything the run decides, measures and makes",
        preset="settings to begin with: demo, criteo, avazu, kdd, or a YAML file such as a run's config.yaml; flags "
        "override it",
        overwrite="replace an earlier run in that folder",
        resume="go on with the run in that folder, with its own settings, as if it had never stopped",
    )
    _add_log_to(search)
    add_setting_flags(search, Settings)

    baselines = command(
        "baselines",
        "train hand-made models as a search trains its own: in a run of their own, or added to a finished run",
        "recnas baselines --data data/criteo --run runs/criteo",
        _baselines,
    )
    _add_run_flags(
        baselines,
        data="the data set's folder; a finished run knows its own",
        run="a folder for everything that is measured and made, or a finished run to add to",
        preset="settings of the final training to begin with, as for `recnas search`; flags override it",
        overwrite="replace an earlier run without a search there",
        resume="go on with the run in that folder, as if it had never stopped",
    )
    _add_log_to(baselines)
    baselines.add_argument(
        "--models",
        type=reader(tuple[str, ...]),
        nargs="*",
        metavar="NAME",
        help=f"some of {', '.join(TITLES)}; module:Class is one of your own",
    )
    baselines.add_argument(
        "--learning-rates",
        type=reader(tuple[float, ...]),
        nargs="*",
        metavar="X",
        help="peak learning rates; each model is trained with all, and the best on validation counts (default: the "
        f"run's or the preset's, else {' '.join(map(str, BASELINE_LEARNING_RATES))})",
    )
    add_setting_flags(baselines, Settings, only=OF_BASELINES, without=["final.optimization.learning_rate"])

    study = command(
        "study",
        "find out how far each ranking can be trusted on a data set",
        "recnas study --data data/criteo --candidates 60 --warmup 0,0.01,0.1,1 --seeds 3 --run runs/criteo-study",
        _study,
    )
    _add_run_flags(
        study,
        data="the data set's folder",
        run="the folder for everything the study measures",
        preset="settings to begin with: demo, criteo, avazu, kdd, or a YAML file; flags override it",
        overwrite="replace an earlier study in that folder",
        resume="go on with the study in that folder, as if it had never stopped",
    )
    add_setting_flags(study, StudySettings, without=NOT_OF_A_STUDY)

    status = command("status", "print how far a run is, or what it found", "recnas status runs/criteo", _status)
    status.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    status.add_argument("--json", action="store_true", help="print it as JSON")

    report = command("report", "write a run's report.html", "recnas report runs/criteo", _report)
    report.add_argument("run", type=Path, metavar="RUN", help="the run's folder")

    export = command(
        "export",
        "export a run's best model, or another that it trained, for production",
        "recnas export runs/criteo --output models/criteo",
        _export,
    )
    export.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or an exported model's")
    export.add_argument("--output", type=Path, required=True, help="the model's folder")
    export.add_argument(
        "--model",
        metavar="ID",
        help="another model that the run trained: a searched one's id, or a baseline such as dlrm (default: the best "
        "on validation, whichever that is)",
    )
    export.add_argument(
        "--format",
        nargs="+",
        action="extend",
        default=[],
        choices=("onnx", "torchrec"),
        help="written besides the torch.export program: ONNX (needs the extra recnas[onnx]); plain TorchRec code to "
        "train and serve without recnas",
    )
    export.add_argument("--quantize", choices=("int8",), help="round the embedding tables, and measure what it does")
    export.add_argument("--data", type=Path, help="the data set to measure that on (default: the run's)")
    export.add_argument(
        "--log-to",
        nargs=1,
        default=[],
        choices=("mlflow",),
        help="add the model to MLflow, to the run's own run there if the search had one (needs the extra "
        "recnas[mlflow])",
    )
    export.add_argument("--overwrite", action="store_true", help="replace an exported model in that folder")

    evaluate = command(
        "evaluate",
        "print an exported model's log loss and AUC",
        "recnas evaluate models/criteo --data data/criteo --split test",
        _evaluate,
    )
    evaluate.add_argument("model", type=Path, metavar="MODEL", help="the exported model's folder")
    evaluate.add_argument("--data", type=Path, required=True, help="the data set's folder")
    evaluate.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: test")
    return parser


def _add_run_flags(
    parser: argparse.ArgumentParser, *, data: str, run: str, preset: str, overwrite: str, resume: str
) -> None:
    """The flags of a command that makes a run's folder, with what it says of each."""
    parser.add_argument("--data", type=Path, help=data)
    parser.add_argument("--run", type=Path, help=run)
    parser.add_argument("--preset", help=preset)
    parser.add_argument("--overwrite", action="store_true", help=overwrite)
    parser.add_argument("--resume", action="store_true", help=resume)
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _add_log_to(parser: argparse.ArgumentParser) -> None:
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


def _add_recipe(recipes: Any, name: str, recipe: Recipe) -> None:
    """The command `recnas prepare NAME`."""
    sub = recipes.add_parser(
        name,
        help=recipe.help,
        description=f"{recipe.help}.",
        epilog=f"example:\n  {recipe.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.set_defaults(run_command=_prepare, recipe=name)
    sub.add_argument("--input", type=Path, help="the raw file, a pattern of names, or a folder")
    sub.add_argument("--output", type=Path, required=True, help="the data set's folder; it appears when complete")
    for option, about in recipe.options.items():
        if not about.flag:
            continue
        flag = "--" + option.replace("_", "-")
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
    sub.add_argument("--debug", action="store_true", help="show the stack trace of an error")


def _memory_remedy(arguments: argparse.Namespace) -> str:
    """What takes a command's memory, and what to do where there is not enough."""
    given = vars(arguments)
    if arguments.run_command is _prepare:
        return (
            "many or long columns take it, as some 16 MB of text are read at a time on each core; name the columns "
            "that are features, or run it on fewer cores (taskset -c 0)"
        )
    folders = (given.get(name) for name in ("data", "run", "model"))
    folder = next((Path(folder) for folder in folders if folder is not None), None)
    ranks = arguments.run_command in (_search, _study)
    return memory_remedy(folder, "--max-rows-per-table" if ranks else None)


def _prepare(arguments: argparse.Namespace) -> None:
    from recnas.data_prep import prepare, unseen_lines

    given = vars(arguments)
    options = {name: value for name in RECIPES[arguments.recipe].options if (value := given.get(name)) is not None}
    if "confirm" in RECIPES[arguments.recipe].options and not arguments.yes:
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


def _describe(arguments: argparse.Namespace) -> None:
    from recnas.data import describe

    description = describe(arguments.data)
    print(json.dumps(description.to_json(), indent=2) if arguments.json else description)


def _of_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `_add_run_flags` and of the settings say, as every function that makes a run takes it."""
    return {
        "preset": arguments.preset,
        "overwrite": arguments.overwrite,
        "resume": arguments.resume,
        "progress": not arguments.quiet,
        **given_settings(arguments),
    }


def _study(arguments: argparse.Namespace) -> None:
    results = run_study(
        arguments.data,
        arguments.run,
        **_of_run(arguments),
    )
    from recnas.study.text import to_text

    print(f"{to_text(results)}\n\nlook at it: {suggested('recnas', 'report', Path(results['run']))}")


def _search(arguments: argparse.Namespace) -> None:
    results = run_search(
        arguments.data,
        arguments.run,
        log_to=arguments.log_to,
        **_of_run(arguments),
    )
    print(result_table(results))
    print(_look_and_take(results["run"], arguments.log_to))


def _look_and_take(run: str, log_to: Sequence[str]) -> str:
    """What to do with a finished run."""
    logged = ["--log-to", "mlflow"] if "mlflow" in log_to else []
    look = suggested("recnas", "report", Path(run))
    take = suggested("recnas", "export", Path(run), "--output", "models/NAME", *logged)
    return f"\nlook at it: {look}\ntake it:    {take}"


def _baselines(arguments: argparse.Namespace) -> None:
    results = run_baselines(
        arguments.data,
        arguments.run,
        models=joined(arguments.models),
        learning_rates=joined(arguments.learning_rates),
        log_to=arguments.log_to,
        **_of_run(arguments),
    )
    print(result_table(results))
    print(_look_and_take(results["run"], arguments.log_to))


def _plan(arguments: argparse.Namespace) -> None:
    from recnas.nn.table_plan import plan

    found = plan(
        arguments.data,
        arguments.world_size,
        device=arguments.device,
        local_world_size=arguments.local_world_size,
        batch_size=arguments.batch_size,
        max_rows_per_table=arguments.max_rows_per_table,
        optimizer=arguments.embedding_optimizer,
        sharding=given_sharding(arguments),
    )
    print(json.dumps(found.to_json(), indent=2) if arguments.json else found)


def _status(arguments: argparse.Namespace) -> None:
    if command_of(arguments.run) == StudySettings.command:
        from recnas.study.status import read_study_status as read_status
        from recnas.study.text import to_text as table
    else:
        from recnas.runs.status import read_status

        table = result_table
    status = read_status(arguments.run)
    if arguments.json:
        print(json.dumps(status.to_json(), indent=2))
        return
    print(status)
    if status.results is not None:
        print(f"\n{table(status.results)}")


def _report(arguments: argparse.Namespace) -> None:
    from recnas.report import write_report

    print(f"wrote {write_report(arguments.run)}")


def _export(arguments: argparse.Namespace) -> None:
    from recnas.export import TrainingRecord, export_checkpoint, export_run, is_checkpoint, log_export

    check_trackers(arguments.log_to)
    if is_checkpoint(Path(arguments.run)):
        given = {"--model": arguments.model, "--format": arguments.format, "--quantize": arguments.quantize}
        if refused := [flag for flag, value in given.items() if value]:
            raise InputError(
                f"{', '.join(refused)}: the state of a training becomes a plain export; export that once more"
            )
        output = export_checkpoint(arguments.run, arguments.output, overwrite=arguments.overwrite)
    else:
        output = export_run(
            arguments.run,
            arguments.output,
            overwrite=arguments.overwrite,
            model=arguments.model,
            formats=arguments.format,
            quantize=arguments.quantize is not None,
            data=arguments.data,
        )
    print(f"wrote {output}")
    quantization = TrainingRecord.load(output).quantization
    if quantization is not None:
        print(quantization)
    if arguments.log_to:
        print(f"in MLflow as {log_export(arguments.run, output)}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from recnas.export import evaluate_export

    quality = evaluate_export(arguments.model, arguments.data, arguments.split)
    print(f"{arguments.split} log loss {quality.log_loss:.6f}, AUC {quality.auc:.6f}")
