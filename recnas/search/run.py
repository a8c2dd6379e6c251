"""A search from data set to results: warm-up, evolution, final training. A run is a folder, written as it goes."""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recnas.data import Dataset, describe
from recnas.errors import InputError
from recnas.nn.model import default_device
from recnas.nn.network import EMBEDDING_DIM
from recnas.schema import SPLITS, Schema
from recnas.search.evolution import RegularizedEvolution
from recnas.search.executor import Executor, sharing_cores
from recnas.search.files import write_json, write_text
from recnas.search.finalists import start_training
from recnas.search.finals import run_finals
from recnas.search.folder import RESULTS, finished, open_run
from recnas.search.history import FILE_NAME as HISTORY
from recnas.search.history import History, Recorded
from recnas.search.scoring import (
    SUPERNET_WEIGHTS,
    build_learner,
    build_supernet,
    check_proxy_rows,
    score,
    stage_seed,
    start_scoring,
    stop_scoring,
)
from recnas.search.settings import Settings
from recnas.space import Architecture, SearchSpace, cost
from recnas.train.checkpoint import Checkpoint, save_supernet
from recnas.train.loop import Progress
from recnas.train.warmup import Amount, Level, Probe, warm_up


def search(
    settings: Settings, *, overwrite: bool = False, resume: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Finds a model for a data set; everything it decides, measures and makes is in the run's folder.

    A process that is killed, at whatever moment, loses the work in flight at most: the same search with `resume` goes
    on and ends with the history, the finalists and the figures of one that was left alone.

    Args:
        settings: What to do.
        overwrite: Replace an earlier run in that folder.
        resume: Go on with the run in that folder, if there is one.
        progress: Show progress bars and a line for each result on the terminal (standard error).

    Returns:
        What `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, or the run's folder is taken.
        RunError: The training diverged.
    """
    dataset = Dataset(settings.data)
    console = Console(progress)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("a search runs in one process with --workers; start it without torchrun")
    check_proxy_rows(settings, dataset)
    started = time.perf_counter()
    console.say(f"data: {', '.join(f'{dataset.rows(split):,} {split}' for split in SPLITS)} rows")
    # Workers are started first: in a script without a main guard that fails before anything is replaced.
    with (
        sharing_cores(settings.workers),
        Executor(settings.workers, _prepare_process, (settings,)) as executor,
        open_run(settings, dataset.schema, overwrite, resume) as run,
    ):
        if (results := finished(run)) is not None:
            console.say(f"{run} is finished")
            return results
        try:
            _describe_data(run, dataset)
            rows = _warm_up(run, settings, dataset, executor, console)
            history, seconds = _evolve(run, settings, dataset.schema, executor, console)
            results = run_finals(run, settings, dataset, history, executor, console)
        finally:
            stop_scoring()
        results["run"] = str(run)
        results["search"] = {"candidates": len(history), "seconds": seconds, "warmup_rows": rows}
        results["seconds"] = time.perf_counter() - started
        write_json(run / RESULTS, results)
    return results


def _prepare_process(settings: Settings) -> None:
    start_scoring(settings)
    start_training(settings)


class Console:
    """Progress bars and lines for a person who watches; silent when not wanted."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def say(self, line: str) -> None:
        """One line, above any progress bar."""
        if self.wanted:
            tqdm.write(line, file=sys.stderr)

    @contextmanager
    def bar(self, total: int, what: str, unit: str) -> Iterator[tqdm]:
        """A progress bar with the rate and the time left; plain lines now and then when there is no terminal."""
        terminal = sys.stderr.isatty()
        with tqdm(
            total=total,
            desc=what,
            unit=unit,
            file=sys.stderr,
            disable=not self.wanted,
            dynamic_ncols=terminal,
            mininterval=0.2 if terminal else 20.0,
            smoothing=0.05,
        ) as bar:
            yield bar


def _describe_data(run: Path, dataset: Dataset) -> None:
    """What the report tells about the data; written now, as the data set may be gone when the report is made."""
    if not (run / "data.json").exists():
        # One look at every column: seconds for millions of rows, beside minutes of warm-up.
        write_json(run / "data.json", describe(dataset.path).to_json())


def _warm_up(run: Path, settings: Settings, dataset: Dataset, executor: Executor, console: Console) -> int:
    warmup, folder = settings.warmup, (run / SUPERNET_WEIGHTS).parent
    folder.mkdir(exist_ok=True)
    amount = Amount(warmup.amount)
    rows = amount.rows(dataset.rows("train"))
    summary = folder / "warmup.json"
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", settings.checkpoint_seconds)
    if summary.exists():
        console.say("warm-up: done before")
        checkpoint.remove()
        return rows * amount.epochs
    probe = Probe(warmup.probe_candidates, min(warmup.probe_rows, dataset.rows("validation")))
    learner = build_learner(settings, build_supernet(settings, dataset))
    rate = dataset.schema.positive_rate("validation")
    constant = constant_log_loss(dataset.schema.positive_rate("train"), rate)
    start = time.perf_counter()
    with console.bar(rows * amount.epochs, "warm-up", " rows") as bar:
        metrics = folder / "metrics.jsonl"
        metrics.touch()
        first = True

        def report(now: Progress) -> None:
            nonlocal first
            executor.check()
            bar.set_postfix_str(f"loss {now.loss:.4f}", refresh=False)
            bar.update(now.rows - bar.n)
            if first:
                _forget_from(metrics, now.step)
                first = False
            with metrics.open("a") as file:
                file.write(json.dumps(now.to_json()) + "\n")

        levels = warm_up(
            learner,
            dataset,
            amount,
            warmup.optimization,
            seed=stage_seed(settings, "warmup"),
            probe=probe if warmup.probe_candidates else None,
            device=default_device(),
            report=report,
            checkpoint=checkpoint,
        )
    save_supernet(folder, learner)
    write_json(
        summary,
        {
            "rows": rows * amount.epochs,
            "seconds": time.perf_counter() - start,
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


def _forget_from(metrics: Path, step: int) -> None:
    """Drops the lines of `metrics.jsonl` from a step on: a killed process had come further than what it kept."""
    whole = [line for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
    write_text(metrics, "".join(line for line in whole if json.loads(line)["step"] < step))


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


def _evolve(
    run: Path, settings: Settings, schema: Schema, executor: Executor, console: Console
) -> tuple[list[Recorded], float]:
    space = SearchSpace.named(settings.space)
    evolution = RegularizedEvolution(space, settings.evolution, random.Random(f"{settings.seed}/search"))
    history = History(run)
    if history.dropped:
        console.say(f"{run / HISTORY}: the last line was cut short; its candidate is scored again")
    if history.num_known:
        console.say(f"search: {history.num_known:,} candidates scored before")
    best = -float("inf")
    start = time.perf_counter()
    with (
        closing(history),
        console.bar(settings.evolution.candidates, "search", " candidates") as bar,
    ):

        def note(score: float) -> None:
            nonlocal best
            best = max(best, score)
            bar.set_postfix_str(f"best score {best:.2f}", refresh=False)
            bar.update()

        while proposals := evolution.ask():
            scores = []
            for proposal in proposals:
                if (scored := history.known(proposal)) is None:
                    break
                scores.append(scored.score)
                note(scored.score)
            new = proposals[len(scores) :]
            on_cpu = default_device().type == "cpu"
            results = executor.map(score, [proposal.arch for proposal in new], partial(_macs, schema), threads=on_cpu)
            for proposal, result in zip(new, results, strict=True):
                history.add(proposal, result)
                scores.append(result.score)
                note(result.score)
            evolution.tell(scores)
    # What a process before spent is known by its candidates.
    before = sum(item.scored.seconds for item in history.recorded[: history.num_known]) / settings.workers
    seconds = before + time.perf_counter() - start
    count = len(history.recorded)
    console.say(f"search: {count:,} candidates in {seconds:.0f} s ({count / seconds:.1f} a second)")
    return history.recorded, seconds


def _macs(schema: Schema, arch: Architecture) -> int:
    """Multiply–accumulates a row of a candidate on these features."""
    return cost.flops(arch, schema.num_dense, schema.num_sparse, EMBEDDING_DIM)
