"""A table from a data set: candidates drawn, trained with every seed, measured by proxies, in a folder that grows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from recnas.bench.candidates import draw_candidates, space_of
from recnas.bench.folder import SPACE, TRAININGS
from recnas.bench.pack import pack
from recnas.bench.settings import NETWORKS, TableSettings
from recnas.bench.space import TableSpace
from recnas.bench.trainings import IN_FLIGHT, Repetition, TableTraining
from recnas.bench.worker import TableWorker
from recnas.candidates.evaluation import Evaluation
from recnas.data import Dataset
from recnas.execution.opening import open_executor
from recnas.nn.processes import num_started
from recnas.proxies.declaration import Proxy
from recnas.proxies.registry import check_proxy_name
from recnas.runs.folder import check_openable, open_run, shared_files
from recnas.runs.outlook import Outlook
from recnas.runs.plan import Plan, write_plan
from recnas.search.costs import Costs
from recnas.search.data_summary import say_rows
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.scoring import check_precision, check_proxy_rows
from recnas.space import SearchSpace
from recnas.study.folder import SCORES, TRAINING, scoring_stage, warmup_stage
from recnas.study.plan import plan_study
from recnas.study.run import StudyContext, supernet_weights, warm_up
from recnas.study.scores import Scoring, ScoringResult, find_proxies, proxy_names
from recnas.util import bench_forms, study_forms
from recnas.util.console import Console
from recnas.util.errors import InputError
from recnas.util.files import read_json, read_json_lines, write_json, write_text, writing

Work, Done = TypeVar("Work"), TypeVar("Done")


def build_table(
    settings: TableSettings, *, overwrite: bool = False, resume: bool = False, progress: bool = True
) -> Path:
    """Makes a table of trained candidates; everything it measures is in the run's folder.

    A process that is killed loses the trainings in flight; with `resume` the same table is gone on with, by any number
    of workers, also with more candidates or seeds than it was begun with. Only times differ.

    Args:
        settings: What it is to hold.
        overwrite: Replace an earlier table in that folder.
        resume: Go on with the table in that folder, if there is one.
        progress: Show how far it is, on standard error.

    Returns:
        The Parquet file; see `recnas.bench.table`.

    Raises:
        InputError: The data set or the settings do not fit, or the folder is taken.
        RunError: A warm-up diverged, or all trainings did.
    """
    console = Console(progress)
    for name in proxy_names(settings):
        check_proxy_name(name)
    if num_started() > 1:
        raise InputError("a table is made in one process with --workers; start it without torchrun")
    dataset = open_data(settings)
    if by_networks := settings.varies == NETWORKS:
        # A space of the user's own is imported, who has named it.
        SearchSpace.named(settings.block_space)
    check_openable(settings, dataset.own_schema, overwrite, resume)
    proxies = find_proxies(settings) if by_networks else {}
    if any(proxy.declaration.inherits for proxy in proxies.values()):
        check_proxy_rows(settings, dataset)
        check_precision(settings)
    say_rows(console, dataset)
    with (
        open_executor(
            settings.workers, settings.ray, TableWorker, (settings.as_seen_by_workers,), console.say
        ) as executor,
        open_run(settings, dataset.own_schema, overwrite, resume) as run,
    ):
        space = _space_in(run, settings, dataset)
        candidates = draw_candidates(settings, space, Costs(settings, dataset))
        plan = _plan(settings, dataset, proxies)
        write_plan(run, plan)
        console.stages, console.outlook = plan.names, Outlook(plan)
        for inputs in dict.fromkeys(candidate.inputs for candidate in candidates):
            keep_inputs(run, inputs, open_data(settings, inputs))
        executor.check_files(shared_files(run, dataset.path))
        context = StudyContext(run, settings, dataset, candidates, plan, executor, console)
        _train(context)
        # Of a training that was killed, and is not asked for any more.
        shutil.rmtree(run / IN_FLIGHT, ignore_errors=True)
        for amount in settings.warmups if by_networks else (0.0,):
            _score(context, amount)
    return pack(settings.run)


def _space_in(run: Path, settings: TableSettings, dataset: Dataset) -> TableSpace:
    """Where a table's candidates are drawn from: found out once, then read."""
    file = run / SPACE
    if file.exists():
        return TableSpace.from_json(read_json(file, form=bench_forms.Space))
    space = space_of(settings, dataset)
    write_json(file, space.to_json())
    return space


def _plan(settings: TableSettings, dataset: Dataset, proxies: Mapping[str, Proxy]) -> Plan:
    """That of a study, with the trainings first."""
    if settings.varies != NETWORKS:
        # Warm-ups are of a supernet.
        settings = replace(settings, warmups=(0.0,))
    declarations = {name: proxy.declaration for name, proxy in proxies.items()}
    *scorings, trainings = plan_study(settings, {"train": dataset.rows("train")}, declarations).stages
    return Plan((trainings, *scorings))


def _train(context: StudyContext) -> None:
    """Trains what is not in the file yet: all candidates with one seed, then with the next."""
    settings, path = context.settings, context.run / TRAININGS
    known = {(line["id"], line["seed"]) for line in _whole_lines(path, bench_forms.TrainingLine)}
    work = [
        Repetition(candidate, seed, place)
        for seed in range(settings.seeds)
        for place, candidate in enumerate(context.candidates)
    ]
    left = [item for item in work if item.key not in known]
    _measured(context, TRAINING, "trainings", path, left, len(work), TableWorker.train, _training_line)


def _score(context: StudyContext, amount: float) -> None:
    """Measures by proxies, after one warm-up, what is not in the file yet."""
    settings, path = context.settings, context.run / SCORES
    known = {line["id"] for line in _whole_lines(path, study_forms.StudyScores) if line["warmup"] == amount}
    left = [
        Scoring(Evaluation(candidate), amount)
        for candidate in context.candidates
        if not known & {candidate.id, candidate.network_id}
    ]
    if left and warmup_stage(amount) in context.plan:
        warm_up(context, amount)
    total = len(context.candidates)
    _measured(context, scoring_stage(amount), "candidates", path, left, total, TableWorker.measure, _score_line)
    # Nobody asks for it any more, and it is large.
    supernet_weights(settings, amount).unlink(missing_ok=True)


def _training_line(repetition: Repetition, training: TableTraining) -> dict[str, Any]:
    return asdict(training) | {"candidate": repetition.candidate.to_json(), "place": repetition.place}


def _score_line(scoring: Scoring, scored: ScoringResult) -> dict[str, Any]:
    return scored.to_json()


def _whole_lines(path: Path, form: Any) -> list[dict[str, Any]]:
    """What a file has up to a line that was damaged or cut short, which goes."""
    lines = read_json_lines(path, form)
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return lines


def _measured(
    context: StudyContext,
    stage: str,
    unit: str,
    path: Path,
    left: Sequence[Work],
    total: int,
    method: Callable[[TableWorker, Work], Done],
    to_line: Callable[[Work, Done], dict[str, Any]],
) -> None:
    """Does what is left of a stage, and adds a line to a file for each as soon as it is done."""
    todo = [list(left)]

    def more() -> Sequence[Work]:
        return todo.pop() if todo else ()

    with (
        context.console.bar(total, stage, unit) as bar,
        writing(path),
        path.open("a", encoding="utf-8") as file,
        closing(context.executor.as_done(method, more)) as results,
    ):
        bar.skip(total - len(left))
        for item, result in results:
            file.write(json.dumps(to_line(item, result)) + "\n")
            file.flush()
            bar.update()
