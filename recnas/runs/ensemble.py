"""Which ensemble a run has selected, kept in `models/ensemble.json`: a resumed run does not choose again. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from recnas.candidates.evaluation import Quality
from recnas.runs.models import MODELS
from recnas.util import forms
from recnas.util.files import read_json, write_json

ENSEMBLE_FILE = "ensemble.json"
"""In the folder of models; there once the ensemble is selected, before anything that is not needed is dropped."""


@dataclass(frozen=True)
class SelectedEnsemble:
    """Candidates, the weighted mean of whose predicted probabilities is predicted; it may be one alone.

    Attributes:
        weights: Of each member, by its candidate's id, the largest first; their sum is 1.
        validation: Figures on the validation rows, by which the members were selected.
        held_out: Log loss of validation rows by ensembles that were selected without them.
        single: That of the best model alone on the same rows.
        error: Standard error of the difference of the two; None of a run of before 0.3.
        among: The ids of the candidates that they were selected from.
    """

    weights: Mapping[str, float]
    validation: Quality
    held_out: float
    single: float
    among: tuple[str, ...]
    error: float | None = None


def write_ensemble(run: Path, ensemble: SelectedEnsemble) -> None:
    """Writes it into a run's folder.

    Raises:
        RunError: It cannot be written.
    """
    write_json(run / MODELS / ENSEMBLE_FILE, asdict(ensemble))


def read_ensemble(run: Path) -> SelectedEnsemble | None:
    """That of a run's folder; None where there is none yet.

    Raises:
        InputError: It is damaged.
    """
    file = run / MODELS / ENSEMBLE_FILE
    if not file.exists():
        return None
    values = read_json(file, form=forms.SelectedEnsemble)
    return SelectedEnsemble(**values | {"validation": Quality(**values["validation"]), "among": tuple(values["among"])})
