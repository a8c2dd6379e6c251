"""What each feature says of the label by itself, told from training rows alone, before any model is trained."""

from __future__ import annotations

from recnas.data.dataset import Dataset
from recnas.data.joint_columns import joint_columns
from recnas.data.joint_model import FoldedModel

ROWS = 200_000
"""Enough to tell features apart that a model would miss from those that it would not."""


def feature_gains(dataset: Dataset, *, rows: int = ROWS, seed: int = 0) -> dict[str, float]:
    """Log loss that an effect of each value of a feature wins on training rows that it was not fitted to.

    Numbers count by their bins. Lists of ids, and what is the same in all rows, are not told about. What a feature
    says only together with others does not show here.

    Args:
        dataset: A data set, fed in whatever way.
        rows: Of so many training rows at most, evenly spread.
        seed: Parts the rows into folds, at random.

    Returns:
        Gains by the features' names, the least first; 0 where nothing is won.

    Raises:
        InputError: The data set cannot be read.

    Example:
        >>> list(feature_gains(Dataset("data/movielens")))[-1]
        'movie_id'
    """
    labels, columns = joint_columns(dataset, rows, seed)
    model = FoldedModel(labels)
    gains = {name: max(0.0, model.gain(cells).value) for name, cells in columns}
    return dict(sorted(gains.items(), key=lambda item: item[1]))
