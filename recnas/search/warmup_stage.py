"""A run's warm-up: the supernet is trained, kept, and measured on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from recnas.data import Dataset
from recnas.execution.executor import computing_with
from recnas.execution.torchrun import joined
from recnas.nn.model import default_device
from recnas.nn.processes import all_processes
from recnas.runs.folder import WARM_UP
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.context import RunContext
from recnas.search.feeding import open_data
from recnas.search.plan import plan_warmup
from recnas.search.scoring import SUPERNET_WEIGHTS, build_learner, build_supernet, stage_seed
from recnas.search.stage import Findings, Stage
from recnas.search.worker import Worker
from recnas.train.checkpoint import Checkpoint, save_supernet
from recnas.train.log import ProgressLog
from recnas.train.loop import Progress
from recnas.train.warmup import Amount, Level, Probe, warm_up
from recnas.util.console import Console
from recnas.util.files import write_json


def warm_up_supernet(
    run: Path,
    settings: Settings,
    dataset: Dataset,
    check: Callable[[], None],
    console: Console,
    stage: str = WARM_UP,
) -> int:
    """Warms a run's supernet up and keeps it, unless that was done before, and measures what candidates inherit.

    Args:
        run: The run's folder.
        settings: The run's.
        dataset: What it learns from.
        check: Called now and then, to raise an error early.
        console: Where it is shown.
        stage: Under which name.

    Returns:
        Training rows that it has seen.

    Raises:
        Diverged: The loss is not a finite number.
    """
    warmup, folder = settings.warmup, (run / SUPERNET_WEIGHTS).parent
    processes = all_processes(default_device())
    amount = Amount(settings.warmup_amount)
    rows = amount.rows(dataset.rows("train"))
    summary = folder / "warmup.json"
    checkpoint = Checkpoint(folder / "checkpoint", settings.checkpoint_seconds, processes)
    if processes.first(summary.exists):
        console.say(f"{stage}: done before")
        checkpoint.remove()
        return rows * amount.epochs
    probe = Probe(warmup.probe_candidates, min(warmup.probe_rows, dataset.rows("validation")))
    learner = build_learner(settings, build_supernet(settings, dataset, processes))
    rate = dataset.schema.positive_rate("validation")
    constant = constant_log_loss(dataset.schema.positive_rate("train"), rate)
    with console.bar(rows * amount.epochs, stage, "rows") as bar:
        log = ProgressLog(folder / "metrics.jsonl") if processes.leads else None

        loss = ""

        def report(now: Progress) -> None:
            nonlocal loss
            check()
            if log is None:
                return
            log.add(now)
            if not bar.done:
                bar.skip(log.rows_before or 0)
            loss = f"loss {now.loss:.4f}"
            bar.update(now.rows - bar.done, loss)

        def report_measuring(done: int, asked: int) -> None:
            check()
            bar.update(0, f"{done} of {asked} measurements of random candidates")

        levels = warm_up(
            learner,
            dataset,
            amount,
            warmup.optimization,
            seed=stage_seed(settings, "warmup"),
            probe=probe if warmup.probe_candidates else None,
            device=default_device(),
            report=report,
            report_measuring=report_measuring,
            checkpoint=checkpoint,
        )
        bar.update(0, loss)
    save_supernet(folder, learner)
    if processes.leads:
        write_json(
            summary,
            {
                "rows": rows * amount.epochs,
                "seconds": checkpoint.spent,
                "constant_log_loss": constant,
                "candidates": warmup.probe_candidates,
                "validation_rows": probe.rows,
                "levels": [level.to_json() for level in levels],
            },
        )
    checkpoint.remove()
    for line in describe_levels(levels, warmup.probe_candidates, constant):
        console.say(line)
    return rows * amount.epochs


class WarmUp(Stage):
    """Trains the supernet, whose weights candidates inherit."""

    name = WARM_UP

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        return plan_warmup(self.name, settings, settings.warmup_amount, rows["train"])

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`.

        Raises:
            Diverged: The loss is not a finite number.
        """
        settings = context.settings
        # Every score hangs on what comes of it. Cores that are left measure what candidates inherit.
        with joined(join_warm_up, settings), computing_with(threads=1):
            findings.warmup_rows = warm_up_supernet(
                context.run, settings, context.dataset, context.executor.check, context.console
            )


def say_warm_up(console: Console, settings: Settings) -> None:
    """Says why there is none, or which proxies use other weights than those that they are published for."""
    ranking = settings.ranking
    if not settings.warms_up:
        why = "uses fresh weights" if ranking.inherits else "uses no inherited weights"
        console.say(f"{WARM_UP}: none, {settings.proxy.score!r} {why}")
    elif fresh := sorted(name for name, proxy in ranking.proxies.items() if proxy.declaration.weights == "fresh"):
        console.say(f"{WARM_UP}: {', '.join(fresh)} uses warm weights here, and is published for fresh ones")


def join_warm_up(worker: Worker, settings: Settings) -> None:
    """What another process does while the first one is in `warm_up_supernet`."""
    with computing_with(threads=1):
        warm_up_supernet(Path(settings.run), settings, open_data(settings), lambda: None, Console(False))


def describe_levels(levels: list[Level], candidates: int, constant: float) -> list[str]:
    """What a warm-up taught, for a person: one line a level."""
    if not levels:
        return []
    lines = [f"validation log loss of {candidates} random candidates (constant click rate: {constant:.4f})"]
    lines += [
        f"  after {level.fraction:5.0%} of the warm-up, {level.rows:>11,} rows: "
        f"median {level.median:.4f}, 10 % below {level.p10:.4f}, 10 % above {level.p90:.4f}"
        for level in levels
    ]
    return lines


def constant_log_loss(train_rate: float, rate: float) -> float:
    """Log loss of predicting the training rows' click rate for rows of click rate `rate`."""
    return -(rate * math.log(train_rate) + (1 - rate) * math.log1p(-train_rate))
