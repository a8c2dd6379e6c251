"""Splits that are kept in memory: the same batches, no second look at the files, and no more than there is room for."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recnas.data import Batch, Dataset, fit_inputs, in_memory
from recnas.data.files import decode
from recnas.features.inputs import Inputs
from recnas.util.errors import InputError
from tests.data.conftest import assert_equal_batches

INPUTS = Inputs(("columns", "bins", "missing"), crosses=("user:item", "x:user"), min_count=2)


@pytest.fixture
def unkept(monkeypatch, shared_set) -> Iterator[Dataset]:
    """The data set, of which nothing is kept."""
    dataset = Dataset(shared_set.path)
    monkeypatch.setattr(dataset._memory, "split", lambda *_: None)
    return dataset


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    batch_size=st.integers(1, 250),
    seed=st.none() | st.integers(0, 5),
    epoch=st.integers(0, 3),
    rows=st.none() | st.integers(1, 250),
    drop_last=st.booleans(),
    cap=st.sampled_from([None, 5]),
    first_batch=st.integers(0, 2),
)
def test_what_is_kept_gives_the_same_batches(shared_set, unkept, batch_size, first_batch, cap, **options):
    options["max_rows_per_table"] = cap
    first_batch = min(first_batch, len(shared_set.batches("train", batch_size, **options)))
    passes = [
        list(dataset.batches("train", batch_size, first_batch=first_batch, **options))
        for dataset in (unkept, shared_set, shared_set)
    ]
    assert_equal_batches(passes[1], passes[0])
    assert_equal_batches(passes[2], passes[0])


def test_later_passes_read_no_file_whatever_view_of_the_data_set_they_are_of(make_data_set):
    path, _ = make_data_set()
    dataset = Dataset(path)
    schema = fit_inputs(dataset, INPUTS)
    views = [dataset.fed(schema), dataset.fed(replace(schema, source={"name": "another"}))]
    expected = list(views[0].batches("train", 30, seed=1))
    shutil.rmtree(path / "train")
    for view in views:
        assert_equal_batches(list(view.batches("train", 30, seed=1)), expected)
        assert len(list(view.batches("train", 30, seed=2))) == len(expected)
    with pytest.raises(InputError, match="cannot be read"):
        list(dataset.batches("train", 30))


def test_a_batch_may_be_written_to(shared_set):
    first, second = (list(shared_set.batches("train", 64)) for _ in range(2))
    for batch in shared_set.batches("train", 64):
        batch.dense.fill_(7)
        batch.label.fill_(7)
        batch.sparse.values().fill_(7)
    assert_equal_batches(first, second)
    assert_equal_batches(list(shared_set.batches("train", 64)), second)


def test_threads_share_what_is_kept(shared_set, unkept):
    expected = {seed: list(unkept.batches("train", 17, seed=seed)) for seed in range(6)}
    found: dict[int, list[Batch]] = {}

    def go_through(seed: int) -> None:
        found[seed] = list(shared_set.batches("train", 17, seed=seed))

    threads = [threading.Thread(target=go_through, args=[seed]) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, batches in expected.items():
        assert_equal_batches(found[seed], batches)


def test_a_split_is_as_large_as_it_is_judged(shared_set):
    for view in (shared_set, shared_set.fed(fit_inputs(shared_set, INPUTS))):
        decoder = view._memory.decoder(view.schema)
        for group in view.row_groups("train"):
            block = decode([group], decoder)
            size = block.label.nbytes + block.dense.nbytes + block.single.nbytes
            size += sum(lists.ids.nbytes + lists.lengths.nbytes + lists.starts.nbytes for lists in block.lists.values())
            assert size == in_memory.bytes_of(group, view.schema)


def test_the_split_that_was_not_asked_for_longest_makes_room(make_data_set, monkeypatch):
    path, _ = make_data_set()
    dataset = Dataset(path)
    sizes = {
        split: sum(in_memory.bytes_of(group, dataset.schema) for group in dataset.row_groups(split))
        for split in ("validation", "test")
    }
    monkeypatch.setattr(in_memory, "LIMIT", sizes["validation"] + 2 * sizes["test"] - 1)
    capped = {"max_rows_per_table": 5}
    list(dataset.batches("validation", 30))
    under_way = iter(dataset.batches("validation", 15))
    first = next(under_way)
    # With a third one, the first must go.
    list(dataset.batches("test", 30))
    list(dataset.batches("test", 30, **capped))
    assert_equal_batches([first, *under_way], list(Dataset(path).batches("validation", 15)))
    for split in ("validation", "test"):
        shutil.rmtree(path / split)
    list(dataset.batches("test", 30))
    list(dataset.batches("test", 30, **capped))
    with pytest.raises(InputError, match="cannot be read"):
        list(dataset.batches("validation", 30))
    # One that is too large for all room is not kept, and drops none.
    list(dataset.batches("train", 30))
    assert dataset._memory.split("train", dataset.row_groups("train"), dataset._decoder(None)) is None
    list(dataset.batches("test", 30, **capped))
