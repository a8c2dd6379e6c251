"""Which rows are for training, for validation and for the test."""

import numpy as np

from recnas.errors import InputError

NUM_FOLDS = 10
SEED = 2018
# Folds 0-7 are the training split (0), 8 is validation (1), 9 is the test (2).
_SPLIT_OF_FOLD = np.array([0] * 8 + [1, 2], dtype=np.int8)


def autoctr_split(labels: np.ndarray, seed: int = SEED) -> np.ndarray:
    """The split used by AutoCTR, NASRec and SiGeo: stratified 8 : 1 : 1.

    Row for row what scikit-learn's `StratifiedKFold(10, shuffle=True, random_state=seed)` gives, in a ninth of its
    memory: 150 million rows take 0.5 GB.

    Args:
        labels: `[N]`, 0 and 1, in file order.

    Returns:
        `[N]` int8, the place of each row's split in `recnas.schema.SPLITS`.

    Raises:
        InputError: a label has fewer than 10 rows, so that a split would have none of it.
    """
    positive = labels != 0
    for label, members in ((0, len(labels) - int(positive.sum())), (1, int(positive.sum()))):
        if members < NUM_FOLDS:
            raise InputError(
                f"{members} of {len(labels)} rows have label {label}, at least {NUM_FOLDS} are needed "
                f"to split them 8 : 1 : 1; give more rows"
            )
    random = np.random.RandomState(seed)
    result = np.empty(len(labels), dtype=np.int8)
    # As scikit-learn does it: the class seen first is number 0; each class is dealt to the folds in turn, going on
    # at the fold where the class before ended; then the folds of a class are shuffled.
    start = 0
    for members in (positive, ~positive) if positive[0] else (~positive, positive):
        stop = start + int(members.sum())
        dealt = [len(range(start + (fold - start) % NUM_FOLDS, stop, NUM_FOLDS)) for fold in range(NUM_FOLDS)]
        splits = np.repeat(np.arange(NUM_FOLDS, dtype=np.int8), dealt)
        random.shuffle(splits)
        result[members] = _SPLIT_OF_FOLD[splits]
        start = stop
    return result
