"""A part of a split's rows, drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from recnas.data import Dataset


def numbers_of(dataset: Dataset, split: str = "train", **order: int) -> list[int]:
    """The places of the rows of a split that batches give."""
    return [int(number) for batch in dataset.batches(split, 7, **order) for number in batch.dense[:, 0].tolist()]


@pytest.mark.parametrize("rows", [1, 16, 17, 100, 199, 200, 10_000])
def test_row_groups_with_so_many_rows_are_drawn_and_others_splits_are_as_they_were(
    shared_set: Dataset, rows: int
) -> None:
    part = shared_set.with_rows("train", rows, seed=4)
    found = numbers_of(part)
    assert len(found) == part.rows("train") == len(part.labels("train"))
    assert min(rows, 200) <= len(found) < min(rows + 16, 201)
    assert found == sorted(set(found))
    assert sorted(numbers_of(part, seed=1, epoch=2)) == found
    assert (part.labels("train") == shared_set.labels("train")[found]).all()
    assert part.rows("test") == shared_set.rows("test")
    assert (shared_set.rows("train"), len(numbers_of(shared_set))) == (200, 200)


def test_the_drawing_hangs_on_its_seed_alone_and_fed_otherwise_it_is_the_same(shared_set: Dataset) -> None:
    drawn = {tuple(numbers_of(shared_set.with_rows("train", 50, seed))) for seed in (0, 0, 1, 2, 3)}
    assert 1 < len(drawn) <= 4
    part = shared_set.with_rows("train", 50, 1)
    assert numbers_of(part.fed(part.own_schema)) == numbers_of(part)
    labels = np.linspace(0, 1, part.rows("train"), dtype=np.float32)
    told = [label for batch in part.with_labels("train", labels).batches("train", 7) for label in batch.label.tolist()]
    assert told == pytest.approx(labels)


def test_no_rows_are_refused(shared_set: Dataset) -> None:
    with pytest.raises(ValueError, match="rows is 0"):
        shared_set.with_rows("train", 0)
