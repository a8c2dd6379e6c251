"""How far a run is, read from its folder while it goes on, after it was stopped, or at its end. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recnas.candidates.network import BASELINE, SEARCHED
from recnas.execution.addresses import LOCAL
from recnas.features.schema import Schema
from recnas.runs.ensemble import ENSEMBLE_FILE
from recnas.runs.folder import (
    CONFIG,
    ENSEMBLE,
    FINAL_TRAINING,
    RE_RANKING,
    SEARCH,
    TEST,
    TUNING,
    WARM_UP,
    is_at_work,
    other_version,
    read_config,
)
from recnas.runs.models import CHOSEN, MODELS
from recnas.runs.outlook import RECENT_CANDIDATES, Outlook
from recnas.runs.plan import Plan, PlannedStage, read_plan
from recnas.runs.reader import Candidate, Run, read_run
from recnas.runs.results import read_results
from recnas.runs.rungs import rungs
from recnas.runs.settings import Kind, Settings
from recnas.runs.trained import trained_files
from recnas.util import forms
from recnas.util.console import amount, clock, size, speed
from recnas.util.cores import available_cores
from recnas.util.errors import suggested
from recnas.util.files import read_json, read_json_lines

RECENT_REPORTS = 20
"""How many of the last ones a rate is taken from."""


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        done: How much is done.
        total: Of how much.
        unit: Of what.
        rate: How much a second of late; None when nothing is known, as of a cluster whose workers were not counted.
    """

    done: float
    total: float
    unit: str
    rate: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """At that rate; None when nothing is known."""
        return (self.total - self.done) / self.rate if self.rate else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "seconds_left": self.seconds_left}


@dataclass(frozen=True)
class TrainedModel:
    """A model of the final training: the best figures on validation so far, at any learning rate.

    Attributes:
        id: The candidate's, or the baseline's name.
        kind: `searched` or `baseline`.
        log_loss: None when it diverged.
        auc: Likewise.
        share: How much of its training it has done: less than 1 for one that has paused, was dropped, or diverged.
    """

    id: str
    kind: str
    log_loss: float | None
    auc: float | None
    share: float


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        run: Its folder.
        state: `running`, `finished`, or `stopped` when no process is at work on it.
        stages: What it does, one after the other; empty where no plan says it (see `read_plan`).
        stage: The one of them that it is in; None when it is finished, or there is no plan.
        progress: How far that is; None when nothing is known.
        scored: Candidates that were scored so far.
        best_id: The candidate that scored best so far.
        best_score: Its score.
        models: Of the final training, as far as they were measured.
        changed: When one of its files was last written.
        num_bytes: What they take on the disk.
        command: The command that resumes it, when it is stopped, and this version of recnas began it.
        report: The page that `recnas report` made.
        results: What `results.json` holds.
        other_version: The version of recnas that began it, where it is not this one: no other resumes it.
        at_work: Whether a process is at work on it: on a finished run, one that adds baselines.
        whole_seconds_left: A rough guess at what is left of all stages (see `Outlook`); None when nothing is known.
    """

    run: Path
    state: str
    stages: tuple[str, ...]
    stage: str | None
    progress: Progress | None
    scored: int
    best_id: str | None
    best_score: float | None
    models: tuple[TrainedModel, ...]
    changed: datetime
    num_bytes: int
    command: str | None
    report: Path | None
    results: Mapping[str, Any] | None
    other_version: str | None = None
    at_work: bool = False
    whole_seconds_left: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "run": str(self.run),
            "progress": None if self.progress is None else self.progress.to_json(),
            "changed": self.changed.isoformat(timespec="seconds"),
            "report": None if self.report is None else str(self.report),
        }

    def __str__(self) -> str:
        """For a person, in some lines."""
        stages = self.stages
        where = "" if self.stage is None else f", stage {stages.index(self.stage) + 1} of {len(stages)}: {self.stage}"
        ago = clock((datetime.now(UTC) - self.changed).total_seconds())
        more = "; baselines are being added" if self.state == "finished" and self.at_work else ""
        lines = [f"{self.run}: {self.state}{where}{more}"]
        if self.progress is not None:
            lines.append(f"{'progress':<14}{_describe(self.progress, self.state == 'running')}")
        if self.stage is None and self.results is None and self.scored:
            lines.append(f"{'scored':<14}{amount(self.scored, 'candidates')}")
        if self.state == "running":
            whole = self.whole_seconds_left
            guess = "time left is not known yet" if whole is None else f"about {clock(whole)} left, roughly guessed"
            lines.append(f"{'whole run':<14}{guess}")
        if self.best_score is not None:
            lines.append(f"{'best score':<14}{self.best_score:.4f} of {self.best_id}")
        if self.results is None:
            for place, model in enumerate(self.models):
                quality = (
                    "diverged" if model.log_loss is None else f"log loss {model.log_loss:.4f}, AUC {model.auc:.4f}"
                )
                if model.log_loss is not None and model.share < 1:
                    quality += f" at {100 * model.share:.3g} % of the training"
                lines.append(f"{'' if place else 'trained':<14}{model.id:<14}validation {quality}")
        lines.append(f"{'last change':<14}{self.changed.astimezone():%Y-%m-%d %H:%M:%S}, {ago} ago")
        lines.append(f"{'disk':<14}{size(self.num_bytes)}")
        if self.command is not None:
            lines.append(f"{'resume with':<14}{self.command}")
        elif self.state == "stopped":
            lines.append(f"{'resume with':<14}recnas {self.other_version}, which began it")
        if self.state == "finished":
            lines.append(f"{'report':<14}{self.report or 'none yet; ' + suggested('recnas', 'report', self.run)}")
        return "\n".join(lines)


def read_status(run: Path | str) -> Status:
    """Finds out how far a run is; nothing is written, and a process at work on it is not disturbed.

    Raises:
        InputError: There is no such folder, it is not a run's, or one of its files is damaged.
    """
    folder = Path(run)
    at_work = folder.is_dir() and is_at_work(folder)
    found = read_run(folder)
    settings = settings_in(folder, Settings)
    finished, plan = found.results is not None, read_plan(folder)
    stage, progress = (None, None) if finished or plan is None else _stage(folder, found, settings, plan)
    scored = [item for item in found.history if item.score is not None]
    best = max(scored, key=lambda item: item.score, default=None)
    changed, num_bytes = written(folder)
    does = "search" if settings.searches else "baselines"
    command, other = ["recnas", does, "--data", Path(settings.data), "--run", folder, "--resume"], other_version(folder)
    return Status(
        run=folder,
        state="finished" if finished else "running" if at_work else "stopped",
        stages=() if plan is None else plan.names,
        stage=stage,
        progress=progress,
        scored=len(found.history),
        best_id=best.id if best else None,
        best_score=best.score if best else None,
        models=_models(found, folder, settings.final.epochs),
        changed=changed,
        num_bytes=num_bytes,
        command=None if finished or at_work or other else suggested(*command),
        report=report if (report := folder / "report.html").exists() else None,
        results=read_results(folder) if finished else None,
        other_version=other,
        at_work=at_work,
        whole_seconds_left=None if stage is None else _whole_left(found, settings, plan, stage, progress),
    )


def _whole_left(found: Run, settings: Settings, plan: Plan, stage: str, progress: Progress | None) -> float | None:
    """What is left of an unfinished run, from the rates of the stages that have ended and of the one it is in."""
    outlook = Outlook(plan)
    if found.warmup is not None and found.warmup.rows and found.warmup.seconds:
        outlook.measured(WARM_UP, found.warmup.rows / found.warmup.seconds)
    if listed := _measured(settings, [item.seconds for item in found.reranked], 0).rate:
        outlook.measured(RE_RANKING, listed)
    if progress is None or not progress.rate:
        return None
    outlook.measured(stage, progress.rate)
    return outlook.left(stage, progress.seconds_left)


def settings_in(folder: Path, kind: type[Kind]) -> Kind:
    """The settings that a run's folder was begun with, by whatever version, as far as this one knows them.

    Raises:
        InputError: They are damaged.
    """
    return kind.known_in(read_config(folder), str(folder / CONFIG))


def _stage(folder: Path, found: Run, settings: Settings, plan: Plan) -> tuple[str, Progress | None]:
    """The stage that an unfinished run is in, and how far that is."""
    if WARM_UP in plan and found.warmup is None:
        reports = [report for report in found.training if report.rows_per_second]
        if not reports:
            return WARM_UP, None
        rate = _mean([report.rows_per_second for report in reports[-RECENT_REPORTS:]])
        return WARM_UP, Progress(reports[-1].rows, plan[WARM_UP].total, "rows", rate)
    if settings.trains and not (folder / MODELS / CHOSEN).exists():
        return SEARCH, _searched(found.history, plan[SEARCH])
    # A strategy may train on its way; otherwise the final training is the first that makes models.
    trains = any(item.fidelity for item in found.history)
    if SEARCH in plan and (trains or not (folder / MODELS).exists()):
        candidates, scored = plan[SEARCH].total, [item.seconds for item in found.history]
        reranked = [item.seconds for item in found.reranked]
        # A search whose limits leave few candidates ends before it has them all.
        if len(scored) < candidates and not reranked:
            return SEARCH, _measured(settings, scored, candidates)
        if RE_RANKING in plan and len(reranked) < (count := min(plan[RE_RANKING].total, len(scored))):
            return RE_RANKING, _measured(settings, reranked, count)
    if (folder / MODELS / CHOSEN).exists():
        selects = ENSEMBLE in plan and not (folder / MODELS / ENSEMBLE_FILE).exists()
        return (ENSEMBLE if selects else TEST), None
    if TUNING in plan and (tuning := _tuned(settings, found.tuned, plan[TUNING].total)).done < tuning.total:
        return TUNING, tuning
    # Where baselines alone are tuned, nothing is left to be trained.
    if not (total := plan[FINAL_TRAINING].total):
        return FINAL_TRAINING, None
    rows = plan.pass_rows or Schema.load(folder).splits["train"]["rows"]
    return FINAL_TRAINING, _trained(folder, settings, total, rows, {item.id for item in found.tuned})


def _searched(history: Sequence[Candidate], planned: PlannedStage) -> Progress:
    """How far a search is that trains its candidates: in time, or in candidates."""
    spent = history[-1].clock if history else None
    if planned.unit == "seconds":
        return Progress(min(spent or 0.0, planned.total), planned.total, planned.unit, 1.0)
    count = len({item.candidate for item in history})
    return Progress(count, planned.total, planned.unit, count / spent if spent else None)


def _measured(settings: Settings, seconds: Sequence[float | None], total: float) -> Progress:
    """How far candidates are measured, from the seconds that each took so far."""
    recent = [item for item in seconds[-RECENT_CANDIDATES:] if item]
    workers = workers_of(settings)
    if workers == 1 and settings.ray is None:
        # One process measures as many candidates side by side as there are cores.
        workers = available_cores()
    return Progress(len(seconds), total, "candidates", workers / _mean(recent) if workers and recent else None)


def _tuned(settings: Settings, trials: Sequence[Candidate], total: float) -> Progress:
    """How far baselines are tuned: in trials, or where there is a budget alone, in the seconds that they took."""
    seconds, tuning = [item.seconds for item in trials if item.seconds], settings.final.tuning
    spent, workers = sum(seconds) / settings.processes, workers_of(settings)
    if tuning.trials is None:
        return Progress(min(spent, total), total, "seconds", 1.0)
    done = total if tuning.budget is not None and spent >= tuning.seconds else len(trials)
    return Progress(done, total, "trials", workers / _mean(seconds) if workers and seconds else None)


def workers_of(settings: Settings) -> int | None:
    """How many workers a run has; None where the cluster, which is not asked, has one for each of its CPUs."""
    if settings.ray is None:
        return settings.processes
    return settings.workers or (available_cores() if settings.ray == LOCAL else None)


def _trained(folder: Path, settings: Settings, total: float, rows: int, tuned: Collection[str]) -> Progress:
    """How far the final trainings are, in rows: those that paused or ended, and those under way.

    Args:
        folder: The run's.
        settings: The run's.
        total: Rows of all of them.
        rows: Training rows of a pass.
        tuned: The ids of baselines that were tuned before, whose trials are no part of it.
    """
    finalists = min(settings.final.top_k, settings.evolution.candidates)
    first_stop = rungs(settings.final, finalists, rows)[0]
    done, rates, last_rates = 0.0, [], []
    for file, outcome, passes in _training_files(folder, tuned):
        reports = read_json_lines(file, forms.SpeedLine)
        seen = 0
        if reports:
            last = reports[-1]
            seen = last["rows"]
            last_rates.append(last["rows_per_second"])
        known = read_json(outcome, form=forms.TrainingEnd) if outcome.exists() else {"epochs": [], "diverged": None}
        measured = known["epochs"][-1]["rows"] if known["epochs"] else 0
        if known["diverged"] is not None:
            # What is left of it will not be done.
            seen = max(seen, first_stop)
        elif known.get("finished") and passes is not None:
            # Its patience may have been at an end before.
            seen = passes * rows
        elif seen > measured:
            rates.append(last["rows_per_second"])
        done += max(seen, measured)
    # Between two trainings nothing is under way.
    workers = workers_of(settings)
    rate = sum(rates) or (workers * _mean(last_rates) if workers and last_rates else None)
    return Progress(min(done, total), total, "rows", rate)


def _training_files(folder: Path, tuned: Collection[str]) -> Iterator[tuple[Path, Path, int | None]]:
    """How each training comes along, what it came to, and its passes over the rows; see `_trained`."""
    for files in trained_files(folder):
        for rate, progress in files.progress.items():
            if progress.exists() and files.network_id not in tuned:
                yield progress, files.outcomes[rate], files.passes


def _models(found: Run, folder: Path, num_epochs: int) -> tuple[TrainedModel, ...]:
    """Those that have come farthest first, of these the best on validation."""
    # Trees are measured at the end, when no more of them are of use.
    ended = set(found.tree_rounds) | _ended(folder)
    kinds = {model.id: model.kind for model in found.results.models} if found.results else {}
    candidates = {item.id for item in found.history}
    models = []
    for name, epochs in (found.epochs | found.tree_rounds).items():
        best = min(
            (epoch.validation for epoch in epochs if epoch.validation and epoch.validation.log_loss is not None),
            key=lambda quality: quality.log_loss,
            default=None,
        )
        kind = kinds.get(name, SEARCHED if name in candidates else BASELINE)
        share = 1.0 if name in ended else max((epoch.epoch for epoch in epochs), default=0) / num_epochs
        models.append(TrainedModel(name, kind, best and best.log_loss, best and best.auc, share))
    return tuple(sorted(models, key=lambda model: (-model.share, model.log_loss or 0.0)))


def _ended(folder: Path) -> set[str]:
    """The ids of networks of which a training came to its end, if only as its patience did."""
    outcomes = [(files.network_id, file) for files in trained_files(folder) for file in files.outcomes.values()]
    return {id_ for id_, file in outcomes if file.exists() and read_json(file, form=forms.TrainingEnd).get("finished")}


def written(folder: Path) -> tuple[datetime, int]:
    """When a run's files were last written, and how many bytes they have."""
    times, num_bytes = [folder.stat().st_mtime], 0
    for path in folder.rglob("*"):
        try:
            about = path.stat()
        except FileNotFoundError:
            continue  # replaced by the process at work
        if path.is_file():
            times.append(about.st_mtime)
            num_bytes += about.st_size
    return datetime.fromtimestamp(max(times), UTC), num_bytes


def _describe(progress: Progress, running: bool) -> str:
    percent = f"{100 * progress.done / progress.total:.0f} %"
    of = f"{progress.done:,.0f} of {amount(progress.total, progress.unit)} ({percent})"
    rate = speed(progress.rate, progress.unit) if progress.rate else ""
    left = f"about {clock(progress.seconds_left)} left in this stage" if running and progress.rate else ""
    return ", ".join(part for part in (of, rate, left) if part)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
