import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from data_prep.split import autoctr_split
from recnas.errors import InputError


def _sklearn_split(labels: np.ndarray) -> np.ndarray:
    split = np.empty(len(labels), dtype=np.int8)
    folds = StratifiedKFold(n_splits=10, shuffle=True, random_state=2018).split(np.zeros(len(labels)), labels)
    for fold, (_, members) in enumerate(folds):
        split[members] = max(0, fold - 7)
    return split


@given(st.integers(10, 300), st.integers(10, 300), st.integers(0, 2**32 - 1))
def test_the_split_is_scikit_learns_row_for_row(negatives, positives, seed):
    labels = np.repeat(np.array([0, 1], dtype=np.int8), [negatives, positives])
    np.random.default_rng(seed).shuffle(labels)
    np.testing.assert_array_equal(autoctr_split(labels), _sklearn_split(labels))


def test_the_split_of_many_rows_is_scikit_learns_row_for_row():
    labels = (np.random.default_rng(0).random(100_003) < 0.2).astype(np.int8)
    np.testing.assert_array_equal(autoctr_split(labels), _sklearn_split(labels))


def test_another_seed_gives_another_split():
    labels = np.tile(np.array([0, 1], dtype=np.int8), 500)
    assert (autoctr_split(labels, seed=1) != autoctr_split(labels)).any()


@pytest.mark.parametrize(("negatives", "positives", "label"), [(50, 9, 1), (9, 50, 0), (50, 0, 1), (0, 0, 0)])
def test_too_few_rows_of_a_label_are_refused(negatives, positives, label):
    labels = np.repeat(np.array([0, 1], dtype=np.int8), [negatives, positives])
    with pytest.raises(InputError, match=f"have label {label}, at least 10 are needed"):
        autoctr_split(labels)
