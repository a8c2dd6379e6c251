"""A study from data set to tables: warm-ups, scores, trainings, agreement. It is a folder, written as it goes."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation
from recnas.data import Dataset
from recnas.execution.executor import Executor, computing_with
from recnas.execution.opening import open_executor
from recnas.features.schema import SPLITS
from recnas.nn.model import sizes
from recnas.nn.networks import count_macs
from recnas.nn.processes import num_started
from recnas.proxies.declaration import Declaration
from recnas.proxies.registry import PROXIES, check_proxy_name
from recnas.runs.folder import (
    CONFIG,
    RESULTS,
    begun_with,
    check_openable,
    finished,
    is_finished,
    open_run,
    read_config,
    shared_files,
    write_config,
)
from recnas.runs.outlook import Outlook
from recnas.runs.plan import Plan, write_plan
from recnas.search.costs import Costs
from recnas.search.data_summary import data_entry, say_rows
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.scoring import SUPERNET_WEIGHTS, check_precision, check_proxy_rows, stage_seed
from recnas.search.warmup_stage import warm_up_supernet
from recnas.space import SearchSpace
from recnas.study import scores
from recnas.study.analysis import Bootstrap
from recnas.study.folder import (
    AGREEMENT_CSV,
    CANDIDATES_CSV,
    MARKDOWN,
    SCORES,
    TRAINING,
    scoring_stage,
    warmup_folder,
    warmup_stage,
)
from recnas.study.plan import plan_study
from recnas.study.rankings import declarations_in
from recnas.study.scores import Scoring, ScoringResult, find_proxies, proxy_names
from recnas.study.settings import StudySettings
from recnas.study.tables import agreement_rows, candidate_rows, summary
from recnas.study.text import to_csv, to_markdown
from recnas.study.trainings import Repetition, RepetitionResult, is_done
from recnas.study.worker import StudyWorker
from recnas.util import study_forms
from recnas.util.console import Console
from recnas.util.errors import InputError, RunError
from recnas.util.files import ANEW, read_json, read_json_lines, write_json, write_text, writing


def study(
    settings: StudySettings, *, overwrite: bool = False, resume: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Finds out how far each ranking can be trusted on a data set; everything it measures is in the run's folder.

    A process that is killed loses the work in flight at most: the same study with `resume` goes on and ends with the
    same figures, but for times.

    Args:
        settings: What to do.
        overwrite: Replace an earlier study in that folder.
        resume: Go on with the study in that folder, if there is one; other rankings than it was begun with are judged
            on what it has measured.
        progress: Show how far it is, on standard error.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, or the folder is taken.
        RunError: A warm-up diverged, or nearly all trainings did.
    """
    console = Console(progress)
    before = _judged_before(settings) if resume else None
    if resume and before is None and (results := finished(settings, study_forms.Study)) is not None:
        console.say(f"{settings.run} is finished")
        return results
    for name in proxy_names(settings):
        check_proxy_name(name)
    dataset = open_data(settings)
    if num_started() > 1:
        raise InputError("a study runs in one process with --workers; start it without torchrun")
    costs = Costs(settings, dataset)
    costs.check_counts()
    candidates = draw_candidates(settings, costs)
    check_openable(settings, dataset.own_schema, overwrite, resume)
    if before is None:
        # A module of the user's own is imported when nothing else can be refused but for what its proxies declare, and
        # before anything is replaced.
        declarations = {name: proxy.declaration for name, proxy in find_proxies(settings).items()}
        if any(declaration.inherits for declaration in declarations.values()):
            check_proxy_rows(settings, dataset)
            check_precision(settings)
    else:
        declarations = declarations_in(before)
    plan = plan_study(settings, {split: dataset.rows(split) for split in SPLITS}, declarations)
    console.stages, console.outlook = plan.names, Outlook(plan)
    started = time.perf_counter()
    say_rows(console, dataset)
    with (
        # What has been measured is only read.
        open_executor(
            settings.workers if before is None else 1,
            settings.ray if before is None else None,
            StudyWorker,
            (settings.as_seen_by_workers,),
            console.say,
        ) as executor,
        open_run(settings, dataset.own_schema, overwrite, resume) as run,
    ):
        write_plan(run, plan)
        keep_inputs(run, settings.inputs, dataset)
        executor.check_files(shared_files(run, dataset.path))

        context = StudyContext(run, settings, dataset, candidates, plan, executor, console)
        scored = _score(context)
        trained = train_all(context)
        if before is not None:
            # A process that is killed from here on judges when it goes on.
            (run / RESULTS).unlink()
            write_config(run, settings, read_config(run)["created"])
        results = _conclude(context, scored, trained, declarations)
        results["seconds"] = time.perf_counter() - started
        write_json(run / RESULTS, results)
    return results


@dataclass
class StudyContext:
    """A study under way.

    Attributes:
        run: Its folder.
        settings: Its own.
        dataset: What is learned from.
        candidates: Distinct ones, within its limits.
        plan: Its stages.
        executor: Of `StudyWorker`s.
        console: Where it is shown.
    """

    run: Path
    settings: StudySettings
    dataset: Dataset
    candidates: Sequence[Candidate]
    plan: Plan
    executor: Executor
    console: Console

    def effort(self, item: Scoring | Repetition) -> int:
        """How long work on a candidate takes, in some unit: its multiply–accumulates a row."""
        return count_macs(item.evaluation.candidate.network, self.dataset.schema)


def draw_candidates(settings: StudySettings, costs: Costs) -> list[Candidate]:
    """A study's random candidates, within its limits, no two of which compute the same.

    Raises:
        InputError: Too few are found.
    """
    space, rng = SearchSpace.named(settings.block_space), random.Random(f"{settings.seed}/candidates")
    recipe = settings.final.recipe
    found: dict[str, Candidate] = {}
    for _ in range(100 * settings.candidates):
        arch = space.sample(rng)
        if costs.affordable(arch):
            found.setdefault(arch.id, Candidate(arch, recipe, settings.inputs))
        if len(found) == settings.candidates:
            return list(found.values())
    within = " within the limits" if settings.limits.bounds else ""
    raise InputError(
        f"found only {len(found)} of {settings.candidates} distinct candidates of {settings.block_space}{within}; "
        "lower --candidates"
    )


def _judged_before(settings: StudySettings) -> dict[str, Any] | None:
    """The results of a study that has ended with other rankings; None where none has.

    Raises:
        InputError: They need proxies that it did not measure, or it has not ended.
    """
    run = Path(settings.run)
    config = begun_with(run, settings.command)
    if config is None:
        return None
    before = StudySettings.from_mapping(config, str(run / CONFIG))
    if before.rankings == settings.rankings:
        return None
    if not is_finished(run):
        raise InputError(
            f"{run} was begun with the rankings {', '.join(before.rankings) or 'of proxies alone'}; leave --ranking "
            "out to go on, others can be judged when it has ended"
        )
    results = read_json(run / RESULTS, form=study_forms.Study)
    measured = {name for values in results["candidates"][0]["values"].values() for name in values}
    if missing := sorted(set(proxy_names(settings)) - measured):
        raise InputError(f"{run} has not measured {', '.join(missing)}; choose another --run for a study that does")
    return results


def _score(context: StudyContext) -> list[ScoringResult]:
    """Every candidate after every warm-up, in this order; what is in the file is not measured again."""
    settings, candidates, path = context.settings, context.candidates, context.run / SCORES
    work = [Scoring(Evaluation(candidate), amount) for amount in settings.warmups for candidate in candidates]
    scored = _read_scores(path, work)
    # A line that was damaged or cut short goes.
    write_text(path, "".join(json.dumps(item.to_json()) + "\n" for item in scored))
    for amount in settings.warmups:
        left = [item for item in work[len(scored) :] if item.warmup == amount]
        if left and warmup_stage(amount) in context.plan:
            warm_up(context, amount)
        with (
            context.console.bar(len(candidates), scoring_stage(amount), "candidates") as bar,
            writing(path),
            path.open("a", encoding="utf-8") as file,
        ):
            bar.skip(len(candidates) - len(left))
            measured = context.executor.map(StudyWorker.measure, left, context.effort, single_threaded=True)
            with closing(measured) as results:
                for result in results:
                    file.write(json.dumps(result.to_json()) + "\n")
                    file.flush()
                    scored.append(result)
                    bar.update()
        # Nobody asks for it any more, and it is large.
        supernet_weights(settings, amount).unlink(missing_ok=True)
    return scored


def _read_scores(path: Path, work: Sequence[Scoring]) -> list[ScoringResult]:
    """What an earlier process measured, up to a damaged line."""
    scored = []
    for line, scoring in zip(read_json_lines(path, study_forms.StudyScores), work, strict=False):
        if (line.get("id"), line.get("warmup")) != (scoring.evaluation.candidate.network_id, scoring.warmup):
            raise InputError(f"{path} is of another study; {ANEW}")
        scored.append(ScoringResult.from_json(line))
    return scored


def warm_up(context: StudyContext, amount: float) -> None:
    """Warms a supernet up, unless that was done before."""
    settings, console = context.settings, context.console
    own, weights = scores.settings_of(settings, amount), supernet_weights(settings, amount)
    if not weights.exists():
        # They went after the last scoring; but scorings were lost since, as in a power cut.
        (weights.parent / "warmup.json").unlink(missing_ok=True)
    with computing_with(threads=1):
        warm_up_supernet(Path(own.run), own, context.dataset, context.executor.check, console, warmup_stage(amount))
    # Of use to resume the warm-up only.
    (weights.parent / "optimizer.safetensors").unlink(missing_ok=True)


def supernet_weights(settings: StudySettings, amount: float) -> Path:
    """The file of a warmed-up supernet's weights, which is there until all candidates are scored."""
    return warmup_folder(settings.run, amount) / SUPERNET_WEIGHTS


def train_all(context: StudyContext) -> list[RepetitionResult]:
    """Trains the candidates from scratch, each with every seed; what an earlier process finished is read.

    Returns:
        Those of one seed after those of another.
    """
    settings = context.settings
    work = [
        Repetition(Evaluation(candidate, 1.0), seed)
        for seed in range(settings.seeds)
        for candidate in context.candidates
    ]
    results: list[RepetitionResult] = []
    with context.console.bar(len(work), TRAINING, "trainings") as bar:
        done = [is_done(settings, item) for item in work]
        for known, result in zip(done, _in_order(context, work), strict=True):
            results.append(result)
            (bar.skip if known else bar.update)(1)
    return results


def _in_order(context: StudyContext, work: list[Repetition]) -> Iterator[RepetitionResult]:
    # In one process one after the other, not in threads: they draw their weights with torch's one generator.
    aside = not context.executor.in_this_process
    with (
        nullcontext() if aside else computing_with(threads=1),
        closing(context.executor.map(StudyWorker.train, work, context.effort, aside, apart=True)) as results,
    ):
        yield from results


def _conclude(
    context: StudyContext,
    scored: Sequence[ScoringResult],
    trained: Sequence[RepetitionResult],
    declarations: Mapping[str, Declaration],
) -> dict[str, Any]:
    """Writes the tables and gives what they say."""
    run, settings, dataset = context.run, context.settings, context.dataset
    archs = [candidate.network for candidate in context.candidates]
    measured = {name for item in scored for name in item.values}
    # What earlier rankings were made of was measured, too; of code of your own that is not named now nothing is known.
    declarations = {name: proxy.declaration for name, proxy in PROXIES.items()} | dict(declarations)
    declarations = {name: declared for name, declared in declarations.items() if name in measured}
    by_arch = {arch.id: [item for item in trained if item.id == arch.id] for arch in archs}
    whole = [arch for arch in archs if all(item.test is not None for item in by_arch[arch.id])]
    if len(whole) < 4:
        reason = next(item.diverged for item in trained if item.test is None)
        raise RunError(
            f"only {len(whole)} architectures were trained without diverging; {reason or 'lower --learning-rate'}"
        )
    counted = sizes(dataset.schema, settings.final.embedding_dim)
    candidates = candidate_rows(counted, whole, by_arch, scored, declarations)
    bootstrap = Bootstrap(len(whole), stage_seed(settings, "bootstrap"))
    agreement = agreement_rows(settings, candidates, declarations, bootstrap)
    results = {
        "run": str(run),
        "data": data_entry(settings, dataset),
        "space": settings.block_space,
        "diverged": [arch.id for arch in archs if arch not in whole],
        **summary(settings, candidates, bootstrap),
        "proxies": {name: declared.to_json() for name, declared in declarations.items()},
        "agreement": agreement,
        "candidates": candidates,
    }
    results = _plain(results)
    write_text(run / CANDIDATES_CSV, to_csv(results["candidates"]))
    write_text(run / AGREEMENT_CSV, to_csv(results["agreement"]))
    write_text(run / MARKDOWN, to_markdown(results))
    return results


def _plain(value: Any) -> Any:
    """JSON has no numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
