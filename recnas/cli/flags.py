"""Settings as flags of the command line: one for each, made of the settings' own types."""

from __future__ import annotations

import argparse
import shlex
import types
import typing
from decimal import Decimal
from itertools import chain
from typing import Any

from recnas.nn.baselines import TITLES
from recnas.nn.sharding import KERNELS, TYPES, Sharding
from recnas.runs.settings import Settings
from recnas.util.plain_values import leaves

FLAGS: dict[str, tuple[str, str]] = {
    "space": ("--space", "search space: nasrec-small, nasrec-full or nasrec-cross"),
    "strategy": (
        "--strategy",
        "how candidates are proposed: evolution or random; none: random where a second look follows, else evolution",
    ),
    "seed": ("--seed", "where all random choices start"),
    "checkpoint_seconds": ("--checkpoint-seconds", "seconds between two writes of a training's state, for --resume"),
    "workers": (
        "--workers",
        "processes that score candidates and train finalists; 1: all candidates in this one, one a core; none: as many "
        "as is usual, with --ray one for each CPU of the cluster",
    ),
    "ray": (
        "--ray",
        "a Ray cluster that does the work: local for one on this machine, auto for the one that this machine is part "
        "of, or HOST:PORT of its head; none: no cluster",
    ),
    "sharding.types": ("--sharding", f"how tables may be split among processes, of {', '.join(TYPES)}; none: as safe"),
    "sharding.tables": ("--table-sharding", "the same for single features, such as item=row_wise"),
    "sharding.kernels": ("--table-memory", f"where tables may be on CUDA devices, of {', '.join(KERNELS)}"),
    "sharding.device_memory": ("--device-memory", "bytes of a CUDA device, such as 80G; none: what it has"),
    "sharding.host_memory": ("--host-memory", "bytes of a process's share of its host; none: what there is"),
    "warmup.amount": (
        "--warmup",
        "supernet warm-up: share of the training rows up to 1, above it epochs; none: as the ranking asks, "
        "0.01 where it looks at trained weights, otherwise 0",
    ),
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
    "warmup.paths": ("--warmup-paths", "random candidates within the limits whose mean gradient makes a warm-up step"),
    "warmup.max_rows_per_table": ("--max-rows-per-table", "cap on embedding tables during the search"),
    "warmup.probe_candidates": (
        "--probe-candidates",
        "random candidates measured at 0, 1, 10 and 100 %% of the warm-up; 0: none",
    ),
    "warmup.probe_rows": ("--probe-rows", "validation rows they are measured on"),
    "proxy.score": (
        "--proxy",
        "what candidates are ranked by: sigeo, a proxy's name, or a weighted sum such as 'zico + 0.5*fr - loss'; after "
        "| what the best of them are ranked by once more; module:function is a proxy of your own, none is no ranking",
    ),
    "proxy.shortlist": ("--shortlist", "best candidates that are ranked once more"),
    "proxy.batches": ("--proxy-batches", "training batches that a candidate's gradients are taken on"),
    "proxy.batch_size": ("--proxy-batch-size", "rows of each"),
    "proxy.tune_steps": ("--tune-steps", "steps of fine-tuning the last layer, for the proxy one_shot"),
    "proxy.tune_batch_size": ("--tune-batch-size", "rows of each"),
    "proxy.tune_validation_rows": ("--tune-validation-rows", "validation rows that one_shot measures on"),
    "proxy.short_training_rows": (
        "--short-training-rows",
        "training rows of the short training from scratch, for the proxy short_training",
    ),
    "proxy.short_training_batch_size": ("--short-training-batch-size", "rows of a step of it"),
    "evolution.population": ("--population", "random candidates to begin with, and how many stay alive"),
    "evolution.iterations": ("--iterations", "rounds of parents and children"),
    "evolution.tournament": (
        "--tournament",
        "members drawn each round, of which the best is the parent; none: 64, or all of a smaller population",
    ),
    "evolution.children": ("--children", "new candidates each round"),
    "evolution.objectives": (
        "--objectives",
        "what to look for: score, or a Pareto front of score and costs, such as score,macs; costs are macs, "
        "parameters, latency",
    ),
    "limits.max_macs": (
        "--max-macs",
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
    if name in ("seed", "workers", "ray", "checkpoint_seconds", "final.epochs")
    or name.startswith("sharding.")
    or (name.startswith("final.optimization.") and name != "final.optimization.learning_rate")
}
"""The flag of each setting of hand-made models."""

SHARDING_FLAGS = {name: flag for name, flag in FLAGS.items() if name.startswith("sharding.")}
"""The flag of each setting that says how tables may be split."""

STUDY_FLAGS: dict[str, tuple[str, str]] = {
    name: flag
    for name, flag in FLAGS.items()
    if not name.startswith(("evolution.", "limits.latency"))
    and name
    not in (
        "strategy",
        "limits.max_latency_ms",
        "proxy.score",
        "proxy.shortlist",
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


def add_setting_flags(
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
            shown = shlex.join(map(str, default))
        several = typing.get_origin(kind) is tuple
        parser.add_argument(
            flag,
            dest=f"setting:{name}",
            type=reader(kind),
            nargs="*" if several else None,
            default=argparse.SUPPRESS,
            metavar=metavar(kind),
            help=f"{text} (default: {shown})",
        )


def reader(kind: Any) -> Any:
    """A function that reads a flag's text as a setting's type."""
    if typing.get_origin(kind) is tuple:
        inner = reader(typing.get_args(kind)[0])

        def read(text: str) -> Any:
            return [inner(item) for item in text.split(",")]
    elif isinstance(kind, types.UnionType):
        inner = reader(typing.get_args(kind)[0])

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


def metavar(kind: Any) -> str:
    """What a value of a type is called in the help."""
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
    return {int: "N", float: "X"}.get(kind, "NAME")


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags gave, nested."""
    given: dict[str, Any] = {}
    for key, value in vars(arguments).items():
        if key.startswith("setting:"):
            *path, last = key.removeprefix("setting:").split(".")
            inner = given
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = joined(value)
    return given


def given_sharding(arguments: argparse.Namespace) -> Sharding:
    """How tables may be split, by the flags of `SHARDING_FLAGS`."""
    given = given_settings(arguments).get("sharding", {})
    return Sharding(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def joined(value: Any) -> Any:
    """A flag's value; one of several values takes them apart by spaces or commas."""
    return list(chain(*value)) if isinstance(value, list) else value
