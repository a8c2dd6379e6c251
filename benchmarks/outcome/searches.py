"""recnas' own search, in processor time: by its portfolio, or at random over the same joint space."""

from __future__ import annotations

import recnas
from benchmarks.outcome.models import drop, mixed, predict
from benchmarks.outcome.results import ENSEMBLE, SINGLE, Clock, Outcome, Task, counting_processor_time
from recnas.candidates.candidate import Candidate
from recnas.runs.models import CANDIDATE, MODELS
from recnas.runs.settings import Settings
from recnas.runs.status import settings_in
from recnas.util.files import read_json


def portfolio(task: Task) -> Outcome:
    """The search."""
    return _searched(task, "portfolio")


def random(task: Task) -> Outcome:
    """Uniformly random candidates of the same space, with the same halving and the same ensemble."""
    return _searched(task, "uniform")


def _searched(task: Task, strategy: str) -> Outcome:
    run, clock = task.folder / "run", Clock(task.seconds)
    with counting_processor_time():
        results = recnas.search(
            task.data,
            run,
            strategy=strategy,
            budget=f"{task.seconds:g}s",
            seed=task.seed,
            workers=1,
            progress=False,
        )
    seconds = clock.spent
    # What follows only repeats what the run has measured: its predictions of the test rows are not kept.
    settings = settings_in(run, Settings)

    files = sorted(run.glob(f"{MODELS}/*/{CANDIDATE}"))
    trained = {file.parent.name: Candidate.from_json(read_json(file)) for file in files}
    best = next(model["candidate"] for model in results["models"] if model["id"] == results["best"])
    single = predict(settings, trained[best])
    members = (results["ensemble"] or {}).get("members", [])
    together = [(predict(settings, trained[member["candidate"]]), member["weight"]) for member in members]
    for candidate in trained.values():
        drop(settings, candidate)
    models = {SINGLE: single, ENSEMBLE: mixed(together) if together else single}
    return Outcome(models, seconds, {"best": best, "trained": len(trained)})
