"""A run folder read into one typed value. Stages that have not happened yet are None or empty, not errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import network_id_in
from recnas.features.description import Description
from recnas.runs.folder import BEGINNING, DATA, PROXIES, RE_RANKING, RESULTS, SEARCH, TUNING
from recnas.runs.leaderboard import Model, Quality, Results, finite, read_leaderboard, read_quality
from recnas.runs.proxy_values import ProxyValues, read_proxy_values
from recnas.runs.settings import Settings
from recnas.runs.trained import TrainedFiles, trained_files
from recnas.space import Architecture
from recnas.util import forms, result_forms
from recnas.util.errors import InputError
from recnas.util.files import by_dotted_name, checked_line, read_json, read_lines, read_yaml
from recnas.util.user_code import NotImportedError

OLD_RERANKED = "shortlist.jsonl"
"""Where runs of recnas 0.1 have the candidates that were ranked once more."""


@dataclass(frozen=True)
class Candidate:
    """One scored candidate; `architecture` is the JSON of its full genotype, dead parts included.

    Attributes:
        seconds: What scoring it took.
        fidelity: The share of its training that it was scored by; 0 for proxies.
        candidate: The id of the candidate, with inputs and recipe; `id` is its network's.
        source: What proposed it, where the strategy has several sources.
        ended: Whether its training has come to its end.
        clock: Seconds from the beginning of a search that trains its candidates to when this was known.
        whole: Plain values of inputs, network and recipe.
    """

    id: str
    iteration: int
    score: float | None
    proxy: Mapping[str, float | None]
    architecture: Mapping[str, Any] | None
    seconds: float | None = None
    fidelity: float = 0.0
    candidate: str | None = None
    source: str | None = None
    ended: bool = False
    clock: float | None = None
    whole: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JointId:
    """A joint id that a search found in the training rows.

    Attributes:
        features: Their names.
        gain: Held-out log loss that it won.
        values: How many different ones were met.
    """

    features: tuple[str, ...]
    gain: float
    values: int


@dataclass(frozen=True)
class Droppable:
    """A feature that candidates of a search may go without.

    Attributes:
        name: Its own.
        gain: Held-out log loss that it wins by itself.
    """

    name: str
    gain: float


@dataclass(frozen=True)
class Level:
    """Validation log loss over candidates after a part of the warm-up."""

    fraction: float
    rows: int | None
    median: float | None
    p10: float | None
    p90: float | None


@dataclass(frozen=True)
class Warmup:
    """How the supernet's candidates improved while it was warmed up."""

    rows: int | None
    seconds: float | None
    constant_log_loss: float | None
    candidates: int | None
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class TrainingPoint:
    """One report of a training under way: the mean loss since the report before."""

    rows: float
    loss: float | None
    rows_per_second: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One line of a final training's metrics; `epoch` is a whole number at the end of a pass, or a number of trees.

    Attributes:
        training: Which of its network's, as `TrainedFiles.training` says.
    """

    training: str
    learning_rate: float | None
    epoch: float
    rows: int | None
    train_loss: float | None
    validation: Quality | None


@dataclass(frozen=True)
class Run:
    """Everything the report shows.

    Attributes:
        settings: `config.yaml`, nested keys joined with dots.
        data: What was found in the data set; runs from before that was written have none.
        history: Every explored candidate; those that were ranked once more with the proxies of both stages.
        reranked: What the second stage of the ranking measured.
        tuned: The trials of baselines that are tuned.
        tree_rounds: The measurements of trees, by family.
        curves: The training loss on the way of each final training of a network, by model and training.
        joint_ids: Joint ids that a search which trains its candidates began with.
        droppable: Features that its candidates may go without, those first that say least by themselves.
        proxies: Of candidates of such a search.
        notes: What was tolerated while reading, one sentence each.
    """

    path: Path
    changed: datetime
    settings: Mapping[str, Any]
    data: Description | None = None
    warmup: Warmup | None = None
    training: tuple[TrainingPoint, ...] = ()
    history: tuple[Candidate, ...] = ()
    reranked: tuple[Candidate, ...] = ()
    tuned: tuple[Candidate, ...] = ()
    results: Results | None = None
    epochs: Mapping[str, tuple[Epoch, ...]] = field(default_factory=dict)
    tree_rounds: Mapping[str, tuple[Epoch, ...]] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, tuple[TrainingPoint, ...]]] = field(default_factory=dict)
    joint_ids: tuple[JointId, ...] = ()
    droppable: tuple[Droppable, ...] = ()
    proxies: ProxyValues = field(default_factory=ProxyValues)
    notes: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether its search trains candidates, and ranks none."""
        return bool(self.history) and all(item.fidelity > 0 for item in self.history)

    @cached_property
    def best_architecture(self) -> Architecture | None:
        """The best candidate's full genotype if the history holds it, else that of `architecture.json`.

        All else of a run is known without the code of a user's own operators.

        Raises:
            NotImportedError: It has an operator of a user's own that nobody has imported.
        """
        return _best_architecture(self.path / "architecture.json", self.history)

    @property
    def searches(self) -> bool:
        """Whether it searches at all, or trains baselines alone."""
        return self.setting("top_k") != 0

    def setting(self, name: str) -> Any:
        """The setting of this name at whatever depth, the outermost first; None if there is none."""
        keys = [key for key in self.settings if key == name or key.endswith(f".{name}")]
        return self.settings[min(keys, key=lambda key: key.count("."))] if keys else None

    def model(self, name: str | None) -> Model | None:
        """The finally trained model of this id."""
        models = self.results.models if self.results else ()
        return next((model for model in models if model.id == name), None)


def read_run(path: Path | str) -> Run:
    """Reads a run folder, finished or not.

    Args:
        path: A folder that a search wrote; it is known by its `config.yaml`.

    Returns:
        The run. A line of a `.jsonl` file cut short at its end, as a killed process leaves it, is set aside and noted.

    Raises:
        InputError: There is no such folder, it is not a run's, or one of its files is damaged.
    """
    path = Path(path).resolve()
    if not path.is_dir():
        raise InputError(f"{path}: no such run folder")
    if not (path / "config.yaml").is_file():
        raise InputError(f"{path}: not a run folder (it has no config.yaml); give the folder that a search wrote")
    notes: list[str] = []
    lines = [
        *_each(path, path / "history.jsonl", forms.CandidateLine, partial(_candidate, SEARCH), notes),
        *_each(path, path / OLD_RERANKED, forms.CandidateLine, partial(_candidate, RE_RANKING), notes),
    ]
    history = tuple(item for stage, item in lines if stage == SEARCH)
    reranked = tuple(item for stage, item in lines if stage == RE_RANKING)
    second = {item.id: item.proxy for item in reranked}
    history = tuple(replace(item, proxy={**item.proxy, **second.get(item.id, {})}) for item in history)
    proxies, cut = read_proxy_values(path)
    if cut is not None:
        notes.append(_cut_short(PROXIES, proxies.lines + 1))
    results = _read_object(path / RESULTS, result_forms.Results, read_leaderboard)
    run = Run(
        path=path,
        changed=_changed(path),
        settings=_read_settings(path / "config.yaml"),
        data=_read_object(path / DATA, forms.Description, Description.from_json),
        warmup=_read_object(path / "supernet" / "warmup.json", forms.Warmup, _warmup),
        training=tuple(_each(path, path / "supernet" / "metrics.jsonl", forms.ProgressLine, _training_point, notes)),
        history=history,
        reranked=reranked,
        tuned=tuple(item for stage, item in lines if stage == TUNING),
        results=results,
        epochs=_epochs(path, notes, are_trees=False),
        tree_rounds=_epochs(path, notes, are_trees=True),
        curves=_curves(path, notes),
        joint_ids=_read_object(path / BEGINNING, forms.Beginning, _joint_ids) or (),
        droppable=_read_object(path / BEGINNING, forms.Beginning, _droppable) or (),
        proxies=proxies,
        notes=tuple(notes),
    )
    with suppress(NotImportedError):
        _ = run.best_architecture  # what is damaged is said now
    return run


def _epochs(path: Path, notes: list[str], are_trees: bool) -> dict[str, tuple[Epoch, ...]]:
    """The measurements of every network's trainings, or of trees'."""
    epochs: dict[str, tuple[Epoch, ...]] = {}
    for files in trained_files(path):
        if files.are_trees == are_trees and files.metrics.exists():
            measured = tuple(_each(path, files.metrics, forms.EpochLine, partial(_epoch, files), notes))
            epochs[files.network_id] = epochs.get(files.network_id, ()) + measured
    return epochs


def _curves(path: Path, notes: list[str]) -> dict[str, dict[str, tuple[TrainingPoint, ...]]]:
    curves: dict[str, dict[str, tuple[TrainingPoint, ...]]] = {}
    for files in trained_files(path):
        for rate, file in files.progress.items():
            if files.are_trees or not file.exists():
                continue
            points: list[TrainingPoint] = []
            try:
                points.extend(_each(path, file, forms.ProgressLine, _training_point, notes))
            except InputError:
                # A power cut leaves zeros in what was appended to; the training is resumed from its state all the same.
                notes.append(f"{file.relative_to(path)} is damaged after {len(points)} lines, which are shown")
            curves.setdefault(files.network_id, {})[files.training(rate)] = tuple(
                item for item in points if item.loss is not None
            )
    return curves


def _changed(path: Path) -> datetime:
    """When the run last wrote one of its own files."""
    files = [
        path / name for name in ("config.yaml", "history.jsonl", OLD_RERANKED, "results.json", "architecture.json")
    ]
    newest = max(file.stat().st_mtime for file in files if file.exists())
    return datetime.fromtimestamp(newest).astimezone()


def _best_architecture(file: Path, history: tuple[Candidate, ...]) -> Architecture | None:
    if not file.exists():
        return None
    best = Architecture.load(file)
    best_id = best.id
    for candidate in history:
        if candidate.id == best_id and candidate.architecture is not None:
            try:
                return Architecture.from_json(candidate.architecture)
            except InputError as error:
                raise InputError(f"{file.with_name('history.jsonl')}: candidate {candidate.id}: {error}") from None
    return best


def _read_settings(file: Path) -> dict[str, Any]:
    """By dotted names, and of the types that settings have."""
    values = read_yaml(file)
    Settings.known_in(values, str(file))
    return dict(by_dotted_name(values))


def _read_object(file: Path, form: Any, parse: Any) -> Any:
    """The file's one JSON object, parsed; None if there is no such file."""
    if not file.exists():
        return None
    return parse(read_json(file, form=form))


def _each(root: Path, file: Path, form: Any, parse: Any, notes: list[str]) -> Iterator[Any]:
    """The file's lines, each parsed; a last line that is cut short is noted and left out."""
    whole, cut = read_lines(file)
    for number, line in enumerate(whole, start=1):
        yield parse(checked_line(line, form, f"{file}:{number}"))
    if cut:
        notes.append(_cut_short(file.relative_to(root), len(whole) + 1))


def _cut_short(file: Path | str, number: int) -> str:
    return f"The last line of {file} (line {number}) is incomplete and was left out."


def _candidate(file_of: str, data: dict[str, Any]) -> tuple[str, Candidate]:
    """A line's stage and candidate; runs of recnas 0.1 have a file for each stage, and other names."""
    old = "stage" not in data
    proxies = data.get("proxy" if old else "proxies") or {}
    candidate = Candidate(
        id=data["id"] if old else network_id_in(data["id"]),
        iteration=data["iteration"],
        score=finite(data.get("score")),
        proxy={name: finite(value) for name, value in proxies.items()},
        architecture=data.get("architecture") if old else (data.get("candidate") or {}).get("network"),
        seconds=finite(data.get("seconds")),
        fidelity=data.get("fidelity", 0.0),
        candidate=None if old else data["id"],
        source=data.get("source"),
        ended=bool((data.get("training") or {}).get("finished")),
        clock=data.get("clock"),
        whole=None if old else data.get("candidate"),
    )
    return data.get("stage", file_of), candidate


def _joint_ids(data: dict[str, Any]) -> tuple[JointId, ...]:
    found = zip(data["joint_ids"], data["gains"], data["values"], strict=True)
    return tuple(JointId(tuple(name.split(":")), gain, values) for name, gain, values in found)


def _droppable(data: dict[str, Any]) -> tuple[Droppable, ...]:
    return tuple(map(Droppable, data["droppable"], data["gains_of_droppable"]))


def _training_point(data: dict[str, Any]) -> TrainingPoint:
    return TrainingPoint(float(data["rows"]), finite(data["loss"]), finite(data.get("rows_per_second")))


def _epoch(files: TrainedFiles, data: dict[str, Any]) -> Epoch:
    return Epoch(
        training=files.training(data.get("learning_rate")),
        learning_rate=finite(data.get("learning_rate")),
        epoch=float(data["epoch"]),
        rows=data.get("rows"),
        train_loss=finite(data.get("train_loss")),
        validation=read_quality(data.get("validation")),
    )


def _warmup(data: dict[str, Any]) -> Warmup:
    return Warmup(
        rows=data.get("rows"),
        seconds=finite(data.get("seconds")),
        constant_log_loss=finite(data.get("constant_log_loss")),
        candidates=data.get("candidates"),
        levels=tuple(
            Level(
                fraction=float(level["fraction"]),
                rows=level.get("rows"),
                median=finite(level["median"]),
                p10=finite(level["p10"]),
                p90=finite(level["p90"]),
            )
            for level in data.get("levels", ())
        ),
    )
