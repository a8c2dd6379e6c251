"""The files of a run's trained models, wherever its version of recnas has put them. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recnas.candidates.candidate import Outline, network_id_in
from recnas.candidates.network import BASELINE, SEARCHED
from recnas.runs.models import CANDIDATE, METRICS, MODELS, PROGRESS, TRAINING, WEIGHTS
from recnas.trees.files import TREES
from recnas.util.errors import InputError
from recnas.util.files import read_json

OLD_FOLDERS = {"retrain": SEARCHED, "baselines": BASELINE}
"""Where runs of recnas 0.1 have models of each kind, a folder for each network."""


@dataclass(frozen=True)
class TrainedFiles:
    """What a run has written of a network's trainings.

    Attributes:
        network_id: The network's.
        kind: `searched` or `baseline`.
        metrics: Measurements of one training, or of several.
        progress: How trainings come along, by learning rate.
        outcomes: What they came to, likewise; not every file is there.
        weights: Those of the best measurement.
        candidate: The id of the candidate; None in a run of recnas 0.1.
        are_trees: Whether these are trees, which are measured by their number.
        passes: Passes over the training rows of a whole training, at most; None in a run of recnas 0.1.
    """

    network_id: str
    kind: str
    metrics: Path
    progress: Mapping[float, Path] = field(default_factory=dict)
    outcomes: Mapping[float, Path] = field(default_factory=dict)
    weights: Path = Path()
    candidate: str | None = None
    are_trees: bool = False
    passes: int | None = None

    def training(self, learning_rate: float) -> str:
        """What tells a training from the network's others: its candidate's id, or in recnas 0.1 the learning rate."""
        return self.candidate or repr(learning_rate)


def trained_files(run: Path) -> Iterator[TrainedFiles]:
    """The files of every training of a run, searched networks first, of a network the largest learning rate first.

    Raises:
        InputError: One that says what a model is is damaged.
    """
    found = []
    for file in sorted(run.glob(f"{MODELS}/*/{CANDIDATE}")):
        folder = file.parent
        try:
            outline = Outline.of(read_json(file))
        except InputError as error:
            raise InputError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
        rate = outline.learning_rate
        found.append(
            TrainedFiles(
                network_id_in(folder.name),
                outline.kind,
                folder / METRICS,
                {rate: folder / PROGRESS},
                {rate: folder / TRAINING},
                folder / (TREES if outline.are_trees else WEIGHTS),
                folder.name,
                outline.are_trees,
                outline.passes,
            )
        )
    yield from sorted(found, key=lambda item: (item.kind != SEARCHED, item.network_id, -max(item.progress)))
    for name, kind in OLD_FOLDERS.items():
        for folder in sorted(run.glob(f"{name}/*")):
            progress = {_rate_in(file): file for file in sorted(folder.glob("progress-*.jsonl"))}
            outcomes = {rate: folder / f"training-{rate!r}.json" for rate in progress}
            yield TrainedFiles(folder.name, kind, folder / METRICS, progress, outcomes, folder / WEIGHTS)


def weights_of(run: Path, network_id: str, candidate_id: str | None) -> tuple[Path, Path]:
    """Where a trained model's weights are, and what says which network it is.

    Args:
        run: The run's folder.
        network_id: The network's.
        candidate_id: The candidate's; None in a run of recnas 0.1.
    """
    if candidate_id is not None:
        folder = run / MODELS / candidate_id
        return folder / WEIGHTS, folder / CANDIDATE
    folders = [run / name / network_id for name in OLD_FOLDERS]
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return folder / WEIGHTS, folder / "architecture.json"


def _rate_in(file: Path) -> float:
    try:
        return float(file.stem.removeprefix("progress-"))
    except ValueError:
        raise InputError(f"{file}: its name does not end in a learning rate") from None
