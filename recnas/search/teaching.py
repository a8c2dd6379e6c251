"""What a run's ensemble predicts of the training rows: labels from which one network learns to predict like it.

Distillation (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"), of an ensemble that may hold trees.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recnas.candidates.evaluation import Result
from recnas.search.context import RunContext
from recnas.search.ensemble_selection import Mixture
from recnas.search.ensembling import is_kept, select_members
from recnas.search.feeding import teacher_file
from recnas.search.keeping import ensemble_library
from recnas.search.training import measure_kept
from recnas.util.files import replacing

MOST_TEACHERS = 8
"""Members of the ensemble that is learned from, at most."""


def teach(context: RunContext, results: Iterable[Result]) -> None:
    """Writes down what an ensemble of trained candidates predicts of the training rows, unless it is there already.

    Its members are selected by the validation rows, whatever they cost: it is not what the run ends with.

    Args:
        context: The run.
        results: Of every candidate that was trained so far; at least one training has come to its end.

    Raises:
        RunError: It cannot be written.
    """
    if (file := teacher_file(context.run)).exists():
        return
    library = [result for result in ensemble_library(results) if is_kept(context.run, result)]
    labels = context.dataset.labels("validation")
    selection, _ = select_members(context, library, labels, MOST_TEACHERS, lambda members: True)
    mixture = Mixture()
    for place, weight in selection.weights.items():
        mixture.add(weight, measure_kept(context.settings, library[place].candidate, "train").logits)
    probabilities = np.exp(-np.logaddexp(0, -mixture.logits)).astype(np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial, partial.open("wb") as opened:
        np.save(opened, probabilities, allow_pickle=False)
    context.console.say(
        f"teacher: {len(selection.weights)} of {len(library)} models, whose predictions networks learn from"
    )
