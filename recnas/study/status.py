"""How far a study is, read from its folder. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from recnas.runs.folder import RESULTS, is_at_work, other_version
from recnas.runs.models import MODELS
from recnas.runs.outlook import Outlook
from recnas.runs.plan import Plan, read_plan
from recnas.runs.status import RECENT_REPORTS, Progress, Status, settings_in, workers_of, written
from recnas.study.folder import RESULT, SCORES, TRAINING, scoring_stage, training_folder, warmup_folder, warmup_stage
from recnas.study.settings import StudySettings
from recnas.util import forms, study_forms
from recnas.util.errors import suggested
from recnas.util.files import read_json, read_json_lines


def read_study_status(run: Path | str) -> Status:
    """Finds out how far a study is; nothing is written, and a process at work on it is not disturbed.

    Raises:
        InputError: One of its files is damaged.
    """
    folder = Path(run)
    at_work, finished = is_at_work(folder), (folder / RESULTS).exists()
    settings = settings_in(folder, StudySettings)
    plan, scored = read_plan(folder), read_json_lines(folder / SCORES, study_forms.StudyScores)
    stage, progress = (None, None) if finished or plan is None else _stage(folder, settings, plan, len(scored))
    changed, num_bytes = written(folder)
    command = ["recnas", "study", "--data", Path(settings.data), "--run", folder, "--resume"]
    other = other_version(folder)
    return Status(
        run=folder,
        state="finished" if finished else "running" if at_work else "stopped",
        stage=stage,
        progress=progress,
        scored=len({line["id"] for line in scored}),
        best_id=None,
        best_score=None,
        models=(),
        changed=changed,
        num_bytes=num_bytes,
        command=None if finished or at_work or other else suggested(*command),
        report=report if (report := folder / "report.html").exists() else None,
        results=read_json(folder / RESULTS, form=study_forms.Study) if finished else None,
        other_version=other,
        stages=() if plan is None else plan.names,
        whole_seconds_left=None if stage is None else _whole_left(folder, settings, plan, stage, progress),
    )


def _whole_left(
    folder: Path, settings: StudySettings, plan: Plan, stage: str, progress: Progress | None
) -> float | None:
    """What is left of an unfinished study, from the rate of its last warm-up and of the stage that it is in."""
    outlook = Outlook(plan)
    for amount in settings.warmups:
        reports = read_json_lines(warmup_folder(folder, amount) / "supernet" / "metrics.jsonl", forms.SpeedLine)
        if recent := [report["rows_per_second"] for report in reports[-RECENT_REPORTS:]]:
            outlook.measured(warmup_stage(amount), sum(recent) / len(recent))
    if progress is None or not progress.rate:
        return None
    outlook.measured(stage, progress.rate)
    return outlook.left(stage, progress.seconds_left)


def _stage(folder: Path, settings: StudySettings, plan: Plan, scored: int) -> tuple[str, Progress | None]:
    """The stage that an unfinished study is in after so many scorings, and how far that is."""
    candidates = settings.candidates
    if scored < candidates * len(settings.warmups):
        amount = settings.warmups[scored // candidates]
        supernet = warmup_folder(folder, amount) / "supernet"
        if warmup_stage(amount) not in plan or (supernet / "warmup.json").exists():
            return scoring_stage(amount), Progress(scored % candidates, candidates, "candidates")
        reports = read_json_lines(supernet / "metrics.jsonl", forms.SpeedLine)[-RECENT_REPORTS:]
        if not reports:
            return warmup_stage(amount), None
        rate = sum(report["rows_per_second"] for report in reports) / len(reports)
        return warmup_stage(amount), Progress(reports[-1]["rows"], plan[warmup_stage(amount)].total, "rows", rate)
    seconds = [
        read_json(file, form=study_forms.StudyTraining)["seconds"]
        for file in training_folder(folder, 0).parent.glob(f"*/{MODELS}/*/{RESULT}")
    ]
    workers = workers_of(settings)
    rate = workers * len(seconds) / sum(seconds) if workers and seconds else None
    return TRAINING, Progress(len(seconds), plan[TRAINING].total, "trainings", rate)
