"""The command line: a command parses, calls one function, and prints."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
import types
import typing
from collections.abc import Sequence
from decimal import Decimal
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep import RECIPES, Recipe
from data_prep.bad_rows import POLICIES
from data_prep.split import SEED, SPLIT_KINDS
from recnas.errors import InputError, RunError
from recnas.nn.baselines import TITLES
from recnas.search import BASELINE_LEARNING_RATES, Settings, run_baselines, run_search
from recnas.search.folder import command_of
from recnas.search.settings import leaves
from recnas.study import StudySettings, run_study

DESCRIPTION = """\
recnas finds click-through-rate (CTR) models by itself.

From a click log to an exported model:

  prepare    raw click log -> data set
  describe   data set -> what is in it: rows, click rates, features, table collisions
  search     data set -> run: warm-up, SiGeo-guided evolution, final training
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

FLAGS: dict[str, tuple[str, str]] = {
    "space": ("--space", "search space: nasrec-small or nasrec-full"),
    "strategy": ("--strategy", "how candidates are proposed: evolution or random"),
    "seed": ("--seed", "where all random choices start"),
    "checkpoint_seconds": ("--checkpoint-seconds", "seconds between two writes of a training's state, for --resume"),
    "workers": (
        "--workers",
        "processes that score candidates and train finalists; 1: all candidates in this one, one a core",
    ),
    "warmup.amount": ("--warmup", "supernet warm-up: share of the training rows up to 1, above it epochs"),
    "warmup.optimization.learning_rate": ("--warmup-learning-rate", "peak learning rate of the warm-up"),
    "warmup.optimization.batch_size": ("--warmup-batch-size", "rows a warm-up step"),
    "warmup.optimization.eps": ("--warmup-eps", "Adagrad's eps for the supernet's dense part"),
    "warmup.optimization.embedding_optimizer": (
        "--warmup-embedding-optimizer",
        "fused optimiser of the supernet's tables: rowwise-adagrad or adagrad",
    ),
    "warmup.optimization.embedding_rate": (
        "--warmup-embedding-rate",
        "the tables' learning rate in the warm-up, as a multiple of the dense part's",
    ),
    "warmup.optimization.embedding_eps": ("--warmup-embedding-eps", "Adagrad's eps for the supernet's tables"),
    "warmup.optimization.weight_decay": ("--warmup-weight-decay", "L2 penalty on the supernet's dense part"),
    "warmup.optimization.fan_in_scale": (
        "--warmup-fan-in-scale",
        "inputs above which a layer's weight learns slower in proportion in the warm-up; none: all alike",
    ),
    "warmup.optimization.clip": ("--warmup-clip", "largest gradient norm in the warm-up; none: no bound"),
    "warmup.full_path_steps": (
        "--full-path-steps",
        "steps over which the chance of training the full path falls from 1 to 0",
    ),
    "warmup.max_rows_per_table": ("--max-rows-per-table", "cap on embedding tables during the search"),
    "warmup.probe_candidates": (
        "--probe-candidates",
        "random candidates measured at 0, 1, 10 and 100 %% of the warm-up; 0: none",
    ),
    "warmup.probe_rows": ("--probe-rows", "validation rows they are measured on"),
    "proxy.score": (
        "--proxy",
        "what candidates are ranked by: sigeo, a proxy's name, or a weighted sum such as 'zico + 0.5*fr - loss'; "
        "module:function is a proxy of your own, none is no ranking",
    ),
    "proxy.batches": ("--proxy-batches", "training batches that a candidate's gradients are taken on"),
    "proxy.batch_size": ("--proxy-batch-size", "rows of each"),
    "proxy.tune_steps": ("--tune-steps", "steps of fine-tuning the last layer, for the proxy one_shot"),
    "proxy.tune_batch_size": ("--tune-batch-size", "rows of each"),
    "proxy.tune_validation_rows": ("--tune-validation-rows", "validation rows that one_shot measures on"),
    "proxy.brief_rows": ("--brief-rows", "training rows of the short training from scratch, for the proxy brief"),
    "proxy.brief_batch_size": ("--brief-batch-size", "rows of a step of it"),
    "proxy.brief_validation_rows": ("--brief-validation-rows", "validation rows that brief measures on"),
    "evolution.population": ("--population", "random candidates to begin with, and how many stay alive"),
    "evolution.iterations": ("--iterations", "rounds of parents and children"),
    "evolution.tournament": ("--tournament", "members drawn each round; the best is the parent"),
    "evolution.children": ("--children", "new candidates each round"),
    "evolution.objectives": (
        "--objectives",
        "what to look for: score, or a Pareto front of score and costs, such as score,flops; costs are flops, "
        "parameters, latency",
    ),
    "limits.max_flops": (
        "--max-flops",
        "limit on the multiply-accumulates a row of a candidate, such as 2M; none: no limit",
    ),
    "limits.max_parameters": ("--max-parameters", "limit on its parameters outside the tables; none: no limit"),
    "limits.max_latency_ms": (
        "--max-latency-ms",
        "limit on its time to predict one batch on this machine, in milliseconds; none: no limit",
    ),
    "limits.latency_batch": ("--latency-batch", "rows of that batch"),
    "limits.latency_threads": ("--latency-threads", "threads that it is timed with"),
    "final.top_k": ("--top-k", "best candidates that are trained from scratch"),
    "final.strategy": (
        "--finalists",
        "full: train each to the end; halving: drop the worse half at growing shares of the training",
    ),
    "final.first_share": ("--first-share", "share of the training after which halving drops the first half"),
    "final.epochs": ("--epochs", "passes over the training rows in final training; the best on validation counts"),
    "final.optimization.learning_rate": ("--learning-rate", "peak learning rate of final training"),
    "final.other_learning_rates": (
        "--other-learning-rates",
        "learning rates that are tried too for the best finalist and each baseline",
    ),
    "final.optimization.batch_size": ("--batch-size", "rows a step of final training"),
    "final.optimization.eps": ("--eps", "Adagrad's eps for the dense part in final training"),
    "final.optimization.embedding_optimizer": (
        "--embedding-optimizer",
        "fused optimiser of the tables in final training: rowwise-adagrad or adagrad",
    ),
    "final.optimization.embedding_rate": (
        "--embedding-rate",
        "the tables' learning rate in final training, as a multiple of the dense part's",
    ),
    "final.optimization.embedding_eps": ("--embedding-eps", "Adagrad's eps for the tables in final training"),
    "final.optimization.weight_decay": ("--weight-decay", "L2 penalty on the dense part in final training"),
    "final.optimization.fan_in_scale": (
        "--fan-in-scale",
        "inputs above which a layer's weight learns slower in proportion; none: all alike",
    ),
    "final.optimization.clip": ("--clip", "largest gradient norm in final training; none: no bound"),
    "final.baselines": ("--baselines", f"hand-made models to train beside the finalists: {', '.join(TITLES)}"),
}
"""The flag of each setting of a search, by its place in `config.yaml`."""

BASELINE_FLAGS = {
    name: flag
    for name, flag in FLAGS.items()
    if name in ("seed", "workers", "checkpoint_seconds", "final.epochs")
    or (name.startswith("final.optimization.") and name != "final.optimization.learning_rate")
}
"""The flag of each setting of hand-made models."""

STUDY_FLAGS: dict[str, tuple[str, str]] = {
    name: flag
    for name, flag in FLAGS.items()
    if not name.startswith(("evolution.", "limits."))
    and name
    not in (
        "strategy",
        "proxy.score",
        "warmup.amount",
        "final.top_k",
        "final.strategy",
        "final.first_share",
        "final.other_learning_rates",
        "final.baselines",
    )
} | {
    "candidates": ("--candidates", "random architectures that are trained from scratch and scored"),
    "seeds": ("--seeds", "trainings of each"),
    "warmups": (
        "--warmup",
        "amounts of warm-up after which they are scored, such as 0,0.01,0.1,1: shares of the training rows, or epochs",
    ),
    "proxies": ("--proxy", "proxies to judge; module:function is one of your own"),
    "rankings": ("--ranking", "weighted sums of proxies to judge beside them, such as 'zico - 30*loss'"),
    "shares": ("--shares", "shares of a training after which it is measured too, to see how early it tells"),
}
"""The flag of each setting of a study."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code: 0, 2 for bad input, 1 for a failure, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run_command(arguments)
    except (InputError, RunError, OSError) as error:
        if arguments.debug:
            traceback.print_exc()
        else:
            print(f"recnas: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        goes_on = arguments.run_command in (_search, _baselines, _study)
        remedy = "; the same command with --resume goes on" if goes_on else ""
        print(f"recnas: interrupted{remedy}", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command."""

    def error(self, message: str) -> typing.NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
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

    search = command(
        "search",
        "find a model: warm up a supernet, evolve candidates, train the best from scratch",
        "recnas search --data data/criteo --space nasrec-small --warmup 0.01 --run runs/criteo",
        _search,
    )
    search.add_argument("--data", type=Path, help="the data set's folder")
    search.add_argument("--run", type=Path, help="the folder for everything the run decides, measures and makes")
    search.add_argument(
        "--preset",
        help="settings to begin with: demo, criteo, avazu, kdd, or a YAML file such as a "
        "run's config.yaml; flags override it",
    )
    search.add_argument("--overwrite", action="store_true", help="replace an earlier run in that folder")
    search.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in that folder, with its own settings, as if it had never stopped",
    )
    search.add_argument("--quiet", action="store_true", help="no progress, only the result")
    search.add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files for `tensorboard --logdir RUN/tensorboard` (needs the extra recnas[tensorboard])",
    )
    _add_setting_flags(search, Settings, FLAGS)

    baselines = command(
        "baselines",
        "train hand-made models as a search trains its own: in a run of their own, or added to a finished run",
        "recnas baselines --data data/criteo --run runs/criteo",
        _baselines,
    )
    baselines.add_argument("--data", type=Path, help="the data set's folder; a finished run knows its own")
    baselines.add_argument(
        "--run", type=Path, help="a folder for everything that is measured and made, or a finished run to add to"
    )
    baselines.add_argument(
        "--models", type=_reader(tuple[str, ...]), nargs="*", metavar="NAME", help=f"some of {', '.join(TITLES)}"
    )
    baselines.add_argument(
        "--learning-rates",
        type=_reader(tuple[float, ...]),
        nargs="*",
        metavar="X",
        help="peak learning rates; each model is trained with all, and the best on validation counts (default: the "
        f"run's or the preset's, else {' '.join(map(str, BASELINE_LEARNING_RATES))})",
    )
    baselines.add_argument(
        "--preset", help="settings of the final training to begin with, as for `recnas search`; flags override it"
    )
    baselines.add_argument("--overwrite", action="store_true", help="replace an earlier run without a search there")
    baselines.add_argument(
        "--resume", action="store_true", help="go on with the run in that folder, as if it had never stopped"
    )
    baselines.add_argument("--quiet", action="store_true", help="no progress, only the result")
    _add_setting_flags(baselines, Settings, BASELINE_FLAGS)

    study = command(
        "study",
        "find out how far each ranking can be trusted on a data set",
        "recnas study --data data/criteo --candidates 60 --warmup 0,0.01,0.1,1 --seeds 3 --run runs/criteo-study",
        _study,
    )
    study.add_argument("--data", type=Path, help="the data set's folder")
    study.add_argument("--run", type=Path, help="the folder for everything the study measures")
    study.add_argument(
        "--preset",
        help="settings to begin with: demo, criteo, avazu, kdd, or a YAML file; flags override it",
    )
    study.add_argument("--overwrite", action="store_true", help="replace an earlier study in that folder")
    study.add_argument(
        "--resume", action="store_true", help="go on with the study in that folder, as if it had never stopped"
    )
    study.add_argument("--quiet", action="store_true", help="no progress, only the result")
    _add_setting_flags(study, StudySettings, STUDY_FLAGS)

    status = command("status", "print how far a run is, or what it found", "recnas status runs/criteo", _status)
    status.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    status.add_argument("--json", action="store_true", help="print it as JSON")

    report = command("report", "write a run's report.html", "recnas report runs/criteo", _report)
    report.add_argument("run", type=Path, metavar="RUN", help="the run's folder")

    export = command(
        "export",
        "export a run's best model, or another that it found, for production",
        "recnas export runs/criteo --output models/criteo",
        _export,
    )
    export.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    export.add_argument("--output", type=Path, required=True, help="the model's folder")
    export.add_argument("--model", metavar="ID", help="a found model that the run trained (default: the best)")
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
                metavar=None if about.choices else about.metavar or _metavar(about.type),
                help=about.help,
            )
    if "confirm" in recipe.options:
        sub.add_argument("--yes", action="store_true", help="do not ask whether what was inferred is right")
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
        help="train, validation, test: stratified and random as published, by a hash of each row, or the past and what "
        "follows (default: autoctr)",
    )
    sub.add_argument("--split-seed", type=int, default=SEED, metavar="N", help=f"of autoctr and hash (default: {SEED})")
    sub.add_argument(
        "--split-by",
        nargs="*",
        default=(),
        metavar="NAME",
        help="with --split hash: the features to hash, whose equal rows stay together",
    )
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    sub.add_argument("--debug", action="store_true", help="show the stack trace of an error")


def _add_setting_flags(
    parser: argparse.ArgumentParser, settings: type[Settings], flags: dict[str, tuple[str, str]]
) -> None:
    """A flag for every setting; what is not given keeps the preset's value.

    Args:
        parser: Of the command.
        settings: What they are settings of.
        flags: Each one's flag and help.
    """
    defaults = settings()
    for path, kind, _ in leaves(settings):
        name = ".".join(path)
        if name not in flags:
            continue  # one that has a flag of its own, or none
        flag, text = flags[name]
        default: Any = defaults
        for part in path:
            default = getattr(default, part)
        shown = default
        if default is None or default == ():
            shown = "all" if name == "proxies" else "none"
        elif isinstance(default, tuple):
            shown = " ".join(map(str, default))
        several = typing.get_origin(kind) is tuple
        parser.add_argument(
            flag,
            dest=f"setting:{name}",
            type=_reader(kind),
            nargs="*" if several else None,
            default=argparse.SUPPRESS,
            metavar=_metavar(kind),
            help=f"{text} (default: {shown})",
        )


def _reader(kind: Any) -> Any:
    """A function that reads a flag's text as a setting's type."""
    if typing.get_origin(kind) is tuple:
        inner = _reader(typing.get_args(kind)[0])

        def read(text: str) -> Any:
            return [inner(item) for item in text.split(",")]
    elif isinstance(kind, types.UnionType):
        inner = _reader(typing.get_args(kind)[0])

        def read(text: str) -> Any:
            return None if text.lower() == "none" else inner(text)
    else:
        return _whole_number if kind is int else kind
    # What argparse calls a value that cannot be read.
    read.__name__ = inner.__name__
    return read


def _whole_number(text: str) -> int:
    """Reads 2000000, 2e6, 2M or 2000k as the same number."""
    digits, times = (text[:-1], _TIMES[text[-1]]) if text[-1:] in _TIMES else (text, 1)
    try:
        number = Decimal(digits) * times
        fits = abs(number) < 10**18 and number == int(number)
    except ArithmeticError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"invalid whole number: {text!r}")
    return int(number)


_TIMES = {"k": 10**3, "M": 10**6, "G": 10**9}


def _metavar(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
    return {int: "N", float: "X"}.get(kind, "NAME")


def _prepare(arguments: argparse.Namespace) -> None:
    from data_prep import prepare

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
        **options,
    )
    for split, counts in schema.splits.items():
        print(f"{split:<11} {counts['rows']:>12,} rows, {schema.positive_rate(split):.2%} clicks")
    print(f"{len(schema.dense)} dense and {schema.num_sparse} sparse features in {arguments.output}")
    for name, text in LOG_LOSSES.items():
        if losses := schema.source.get(name):
            print(f"{text}: " + ", ".join(f"{split} {loss:.4f}" for split, loss in losses.items()))
    if rejected := schema.source.get("rejected_rows"):
        print(f"{rejected:,} bad rows set aside in {arguments.output / 'rejected-rows.txt'}")


def _confirm(plan: str) -> None:
    """Shows what was inferred and asks if it is right; raises InputError if not, or if nobody can be asked."""
    print(plan, file=sys.stderr)
    if not sys.stdin.isatty():
        raise InputError("the columns' roles were inferred; add --yes if they are right, or name the columns")
    print("Prepare like this? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("nothing was prepared; name the columns with --label, --dense, --sparse, --multi, --time")


def _describe(arguments: argparse.Namespace) -> None:
    from recnas.data import describe

    description = describe(arguments.data)
    print(json.dumps(description.to_json(), indent=2) if arguments.json else description)


def _given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags gave, nested."""
    given: dict[str, Any] = {}
    for key, value in vars(arguments).items():
        if key.startswith("setting:"):
            *path, last = key.removeprefix("setting:").split(".")
            inner = given
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = _joined(value)
    return given


def _joined(value: Any) -> Any:
    """A flag's value; one of several values takes them apart by spaces or commas."""
    return list(chain(*value)) if isinstance(value, list) else value


def _study(arguments: argparse.Namespace) -> None:
    results = run_study(
        arguments.data,
        arguments.run,
        preset=arguments.preset,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        progress=not arguments.quiet,
        **_given_settings(arguments),
    )
    from recnas.study.text import to_text

    print(f"{to_text(results)}\n\nlook at it: recnas report {results['run']}")


def _search(arguments: argparse.Namespace) -> None:
    results = run_search(
        arguments.data,
        arguments.run,
        preset=arguments.preset,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        progress=not arguments.quiet,
        tensorboard=arguments.tensorboard,
        **_given_settings(arguments),
    )
    print(result_table(results))
    run = results["run"]
    print(f"\nlook at it: recnas report {run}\ntake it:    recnas export {run} --output models/NAME")


def _baselines(arguments: argparse.Namespace) -> None:
    results = run_baselines(
        arguments.data,
        arguments.run,
        models=_joined(arguments.models),
        learning_rates=_joined(arguments.learning_rates),
        preset=arguments.preset,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        progress=not arguments.quiet,
        **_given_settings(arguments),
    )
    print(result_table(results))
    print(f"\nlook at it: recnas report {results['run']}")


def _status(arguments: argparse.Namespace) -> None:
    if command_of(arguments.run) == StudySettings.command:
        from recnas.study.status import read_study_status as read_status
        from recnas.study.text import to_text as table
    else:
        from recnas.search.status import read_status

        table = result_table
    status = read_status(arguments.run)
    if arguments.json:
        print(json.dumps(status.to_json(), indent=2))
        return
    print(status)
    if status.results is not None:
        print(f"\n{table(status.results)}")


def result_table(results: dict[str, Any]) -> str:
    """A run's models as text in columns: those trained to the end, best on validation first; dropped; diverged."""

    def rank(model: dict[str, Any]) -> tuple[bool, float, float]:
        quality = model["validation"]
        return quality is None, -model.get("share", 1.0), quality["log_loss"] if quality else 0.0

    models = sorted(results["models"], key=rank)
    timed = any(model["latency_ms"] is not None for model in models)
    latency = [f" {name:>10}" if timed else "" for name in ("latency", "ms")]
    lines = [
        f"{'model':<14} {'validation':^19} {'test':^19} {'dense':>10} {'MACs':>10}{latency[0]} {'learning':>9}",
        f"{'':<14} {'log loss':>9} {'AUC':>9} {'log loss':>9} {'AUC':>9} {'parameters':>10} {'a row':>10}{latency[1]} "
        f"{'rate':>9}",
    ]
    for model in models:
        instead = f"dropped at {100 * model['share']:.3g} %" if model["status"] == "dropped" else model["status"]
        figures = [
            f"{quality['log_loss']:>9.4f} {quality['auc']:>9.4f}" if (quality := model[split]) else f"{instead:^19}"
            for split in ("validation", "test")
        ]
        time = model["latency_ms"]
        shown = f" {'' if time is None else f'{time:.2f}':>10}" if timed else ""
        marks = ["best"] if model["id"] == results["best"] else ["front"] if model["id"] in results["front"] else []
        if model["over_limits"]:
            marks.append(f"over the limit on {' and '.join(model['over_limits'])}")
        lines.append(
            f"{model['id']:<14} {' '.join(figures)} {model['parameters']:>10,} {model['flops']:>10,}{shown} "
            f"{model['learning_rate']:>9g}{' <- ' if marks else ''}{', '.join(marks)}"
        )
    return "\n".join(lines)


def _report(arguments: argparse.Namespace) -> None:
    from recnas.report import write_report

    print(f"wrote {write_report(arguments.run)}")


def _export(arguments: argparse.Namespace) -> None:
    from recnas.export import export_run

    output = export_run(arguments.run, arguments.output, overwrite=arguments.overwrite, model=arguments.model)
    print(f"wrote {output}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from recnas.export import evaluate_export

    quality = evaluate_export(arguments.model, arguments.data, arguments.split)
    print(f"{arguments.split} log loss {quality.log_loss:.6f}, AUC {quality.auc:.6f}")
