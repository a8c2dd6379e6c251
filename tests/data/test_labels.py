"""Other labels in the place of a split's own."""

from __future__ import annotations

import numpy as np
import pytest

from recnas.data import Dataset, in_memory


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("order", [{}, {"seed": 3}, {"seed": 3, "epoch": 2, "first_batch": 2}, {"seed": 1, "rows": 90}])
def test_batches_have_the_labels_of_their_rows(
    shared_set: Dataset, order: dict[str, int], is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_kept:
        monkeypatch.setattr(in_memory, "LIMIT", 0)
    own = Dataset(shared_set.path)
    # Each row's place is its label.
    rows = own.rows("train")
    other = own.with_labels("train", np.arange(rows) / rows)
    labels = own.labels("train")
    pairs = list(zip(own.batches("train", 40, **order), other.batches("train", 40, **order), strict=True))
    assert pairs
    seen = np.concatenate([after.label.numpy() for _, after in pairs])
    assert len(set(seen.tolist())) == len(seen)
    for before, after in pairs:
        places = np.rint(after.label.numpy() * rows).astype(int)
        assert (labels[places] == before.label.numpy()).all()
        assert (after.dense == before.dense).all()
    # Other splits, and the data set that it was made of, are as they were.
    assert (next(iter(other.batches("test", 9))).label == next(iter(own.batches("test", 9))).label).all()
    assert set(next(iter(own.batches("train", 40))).label.tolist()) <= {0.0, 1.0}


def test_labels_of_other_rows_are_refused(shared_set: Dataset) -> None:
    with pytest.raises(ValueError, match="shape"):
        shared_set.with_labels("train", np.zeros(3, dtype=np.float32))
