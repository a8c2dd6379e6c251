"""Batches: what is in them, in which order, and that the reading thread behaves."""

import gc
import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
import torchrec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recnas.data import Batch, Dataset, in_memory
from recnas.data import batches as batches_module
from recnas.data.in_memory import bytes_of
from recnas.util.errors import InputError
from tests.data.conftest import assert_equal_batches


def _numbers(batches) -> list[int]:
    """Which rows were given out, in order."""
    return [int(number) for batch in batches for number in batch.dense[:, 0]]


def _rows(value: int | None, rows: int) -> int:
    return 0 if value is None else value % (rows - 1) + 1


def _assert_is(batch: Batch, columns: dict[str, list], max_rows: int = 2**31) -> None:
    """Every part of a batch is what its rows' raw columns say."""
    numbers = [int(number) for number in batch.dense[:, 0]]
    assert batch.dense.dtype == torch.float32
    assert batch.dense.tolist() == [[columns["number"][n], columns["x"][n]] for n in numbers]
    assert batch.label.dtype == torch.float32
    assert batch.label.tolist() == [columns["click"][n] for n in numbers]
    assert batch.sparse.keys() == ["user", "tags", "item"]
    assert batch.sparse.values().dtype == torch.int64
    tables = {"user": 50, "tags": 7, "item": 2**31 - 1}
    found = {key: [ids.tolist() for ids in batch.sparse[key].to_dense()] for key in tables}
    wanted = {key: [] for key in tables}
    for n in numbers:
        for key, rows in tables.items():
            raw = columns[key][n] or [None] if key == "tags" else [columns[key][n]]
            wanted[key].append([_rows(value, min(rows, max_rows)) for value in raw])
    assert found == wanted


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("max_rows", [2**31, 5])
def test_a_batch_holds_what_plain_python_computes_from_the_raw_columns(make_data_set, seed, max_rows):
    path, columns = make_data_set()
    for split in ("train", "validation"):
        for batch in Dataset(path).batches(split, 13, seed=seed, max_rows_per_table=max_rows):
            _assert_is(batch, columns[split], max_rows)


def test_an_empty_and_a_missing_list_are_the_missing_values_row(make_data_set):
    path, columns = make_data_set()
    tags = columns["train"]["tags"]
    assert [] in tags
    assert None in tags
    (batch,) = Dataset(path).batches("train", 1000)
    for place, ids in enumerate(batch.sparse["tags"].to_dense()):
        if not tags[place]:
            assert ids.tolist() == [0]


def test_torchrec_embeds_a_batch(make_data_set):
    path, _ = make_data_set()
    dataset = Dataset(path)
    schema = dataset.schema.capped(100)
    tables = torchrec.EmbeddingBagCollection(
        tables=[
            torchrec.EmbeddingBagConfig(
                name=feature.name,
                embedding_dim=4,
                num_embeddings=feature.rows,
                feature_names=[feature.name],
                pooling=torchrec.PoolingType[feature.pooling.upper()],
            )
            for feature in schema.sparse
        ]
    )
    for batch in dataset.batches("train", 32, max_rows_per_table=100):
        assert tables(batch.sparse).values().shape == (len(batch), 12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    batch_size=st.integers(1, 250),
    seed=st.none() | st.integers(0, 5),
    epoch=st.integers(0, 3),
    rows=st.none() | st.integers(1, 250),
    drop_last=st.booleans(),
)
def test_every_row_comes_once_and_the_length_is_the_number_of_batches(
    shared_set, batch_size, seed, epoch, rows, drop_last
):
    batches = shared_set.batches("train", batch_size, seed=seed, epoch=epoch, rows=rows, drop_last=drop_last)
    sizes = [len(batch) for batch in batches]
    numbers = _numbers(batches)
    wanted = min(rows or 200, 200)
    assert len(batches) == len(sizes)
    assert all(size == batch_size for size in sizes[:-1])
    assert len(numbers) == len(set(numbers))
    if drop_last:
        assert wanted - batch_size < len(numbers) <= wanted
        assert all(size == batch_size for size in sizes)
    else:
        assert len(numbers) == wanted
    if seed is None:
        assert numbers == list(range(len(numbers)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(seed=st.integers(0, 10), epoch=st.integers(1, 3), rows=st.integers(1, 199))
def test_a_subset_is_the_first_epochs_beginning_and_the_same_in_every_epoch(shared_set, seed, epoch, rows):
    whole = _numbers(shared_set.batches("train", 50, seed=seed))
    first = _numbers(shared_set.batches("train", 50, seed=seed, rows=rows))
    later = _numbers(shared_set.batches("train", 50, seed=seed, rows=rows, epoch=epoch))
    assert first == whole[:rows]
    assert sorted(later) == sorted(first)
    if rows > 20:
        assert later != first


def test_the_order_depends_on_the_seed_and_the_epoch_alone(shared_set):
    def order(batch_size: int = 50, **options) -> list[int]:
        return _numbers(shared_set.batches("train", batch_size, **options))

    assert order(seed=1) == order(seed=1) == order(seed=1, batch_size=7)
    assert len({tuple(order(seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize("rows", [None, 90])
def test_epochs_differ_even_when_everything_fits_one_buffer(make_data_set, rows):
    path, _ = make_data_set(rows=100, group_rows=1000, part_rows=1000)
    dataset = Dataset(path)
    orders = [_numbers(dataset.batches("train", 50, seed=0, epoch=epoch, rows=rows)) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert len({frozenset(order) for order in orders}) == 1


def test_going_through_the_same_batches_again_gives_the_same(shared_set):
    batches = shared_set.batches("train", 50, seed=3)
    assert _numbers(batches) == _numbers(batches)


def test_a_shuffled_order_mixes_row_groups_far_apart(shared_set):
    first = np.array(_numbers(shared_set.batches("train", 50, seed=0)))[:50] // 16
    assert len(set(first)) > 5


def test_wide_row_groups_are_shuffled_in_smaller_buffers(shared_set, monkeypatch):
    def largest() -> int:
        batches = shared_set.batches("train", 50, seed=0)
        assert sorted(_numbers(batches)) == list(range(200))
        return max(len(buffer.groups) for buffer in batches._plan())

    size = bytes_of(shared_set.row_groups("train")[0], shared_set.own_schema)
    assert largest() == 8
    for room, groups in ((3 * size, 3), (1, 1)):
        monkeypatch.setattr("recnas.data.batches.SHUFFLED_BYTES", room)
        assert largest() == groups


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    batch_size=st.integers(1, 200),
    world_size=st.integers(1, 5),
    seed=st.none() | st.integers(0, 5),
    epoch=st.integers(0, 2),
    rows=st.none() | st.integers(1, 250),
    drop_last=st.booleans(),
)
def test_several_processes_see_together_what_one_sees_without_overlap_or_loss(
    shared_set, batch_size, world_size, seed, epoch, rows, drop_last
):
    options = {"seed": seed, "epoch": epoch, "rows": rows, "drop_last": drop_last}
    one = [_numbers([batch]) for batch in shared_set.batches("train", batch_size, **options)]
    several = [
        [
            _numbers([batch])
            for batch in shared_set.batches("train", batch_size, rank=rank, world_size=world_size, **options)
        ]
        for rank in range(world_size)
    ]
    assert [len(batches) for batches in several] == [len(one)] * world_size
    assert [list(itertools.chain(*step)) for step in zip(*several, strict=True)] == one
    seen = list(itertools.chain(*itertools.chain(*several)))
    wanted = min(rows or 200, 200)
    if drop_last:
        wanted -= wanted % batch_size
    assert len(seen) == len(set(seen)) == wanted
    for step in zip(*several, strict=True):
        sizes = [len(numbers) for numbers in step]
        assert max(sizes) - min(sizes) <= 1


@st.composite
def _passes(draw) -> dict:
    """The options of any pass over the 200 training rows."""
    world_size = draw(st.integers(1, 4))
    return {
        "batch_size": draw(st.integers(1, 120)),
        "seed": draw(st.none() | st.integers(0, 5)),
        "epoch": draw(st.integers(0, 3)),
        "rows": draw(st.none() | st.integers(1, 250)),
        "drop_last": draw(st.booleans()),
        "rank": draw(st.integers(0, world_size - 1)),
        "world_size": world_size,
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(options=_passes(), data=st.data())
def test_a_pass_that_was_left_goes_on_bit_for_bit(shared_set, options, data):
    whole = list(shared_set.batches("train", **options))
    first = data.draw(st.integers(0, len(whole)), label="first_batch")
    rest = shared_set.batches("train", **options, first_batch=first)
    assert len(rest) == len(whole) - first
    assert_equal_batches(list(rest), whole[first:])


@pytest.fixture
def decoded(monkeypatch) -> list:
    """The row groups of each buffer that was decoded, in order; nothing is kept."""
    monkeypatch.setattr(in_memory, "LIMIT", 0)
    calls = []
    decode = batches_module.decode

    def recorded(groups, schema):
        calls.append(groups)
        return decode(groups, schema)

    monkeypatch.setattr(batches_module, "decode", recorded)
    return calls


@pytest.mark.parametrize("options", [{}, {"rows": 150}, {"seed": 0}, {"seed": 0, "epoch": 2}, {"seed": 0, "rows": 150}])
def test_going_on_reads_no_row_group_before_the_buffer_it_starts_in(shared_set, decoded, options):
    steps = len(list(shared_set.batches("train", 10, **options)))
    plan = list(decoded)
    ends = np.cumsum([sum(group.rows for group in groups) for groups in plan])
    assert len(plan) > 1
    for first in range(steps):
        decoded.clear()
        assert len(list(shared_set.batches("train", 10, **options, first_batch=first))) == steps - first
        assert decoded == plan[np.searchsorted(ends, first * 10, side="right") :]


@pytest.mark.parametrize(("drop_last", "batches"), [(False, 5), (True, 4)])
def test_a_pass_is_over_after_its_last_batch(shared_set, drop_last, batches):
    assert len(shared_set.batches("train", 48, drop_last=drop_last)) == batches
    over = shared_set.batches("train", 48, drop_last=drop_last, first_batch=batches)
    assert (len(over), list(over)) == (0, [])
    with pytest.raises(InputError, match=f"first_batch is 7, it must be from 0 to {batches}, the number of batches"):
        shared_set.batches("train", 48, drop_last=drop_last, first_batch=7)


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("dev", {}, "there is no split 'dev'"),
        ("train", {"batch_size": 0}, "batch_size is 0, it must be 1 or more"),
        ("train", {"rows": 0}, "rows is 0, it must be 1 or more"),
        ("train", {"rank": 2, "world_size": 2}, "rank is 2, it must be from 0 to 1"),
        ("train", {"seed": -1}, "seed is -1, it must be 0 or more"),
        ("train", {"first_batch": -1}, "first_batch is -1, it must be 0 or more"),
        ("train", {"max_rows_per_table": 1}, "a table of 1 rows"),
    ],
)
def test_numbers_out_of_range_are_refused(shared_set, split, options, message):
    with pytest.raises(InputError, match=message):
        shared_set.batches(split, **{"batch_size": 8} | options)


def test_a_batch_moves_to_another_device(shared_set):
    batch = next(iter(shared_set.batches("train", 8))).to("meta", non_blocking=True)
    assert {batch.dense.device.type, batch.label.device.type, batch.sparse.device().type} == {"meta"}


def test_an_error_while_reading_reaches_the_caller(make_data_set):
    path, _ = make_data_set()
    dataset = Dataset(path)
    part = path / "train" / "part-00001.parquet"
    data = bytearray(part.read_bytes())
    data[4:400] = bytes(396)
    part.write_bytes(data)
    iterator = iter(dataset.batches("train", 16))
    assert _numbers(itertools.islice(iterator, 4)) == list(range(64))
    with pytest.raises(InputError, match=r"part-00001\.parquet: cannot be read .*; prepare the data set again"):
        next(iterator)


def test_a_part_that_disappears_while_reading_is_named(make_data_set):
    path, _ = make_data_set()
    dataset = Dataset(path)
    (path / "train" / "part-00002.parquet").unlink()
    with pytest.raises(InputError, match=r"part-00002\.parquet: cannot be read"):
        list(dataset.batches("train", 16))


def _reading_threads() -> int:
    return sum(thread.name.startswith("recnas-data") for thread in threading.enumerate())


def test_the_reading_thread_ends_when_the_iterator_is_dropped(make_data_set):
    path, _ = make_data_set()
    iterator = iter(Dataset(path).batches("train", 16, seed=0))
    next(iterator)
    assert _reading_threads() == 1
    del iterator
    gc.collect()
    assert _reading_threads() == 0


def test_the_next_buffer_is_read_while_this_one_is_used(shared_set, decoded):
    iterator = iter(shared_set.batches("train", 16))
    next(iterator)
    deadline = time.monotonic() + 10
    while len(decoded) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    # One ahead, and not the whole file.
    assert len(decoded) == 2


def test_the_reading_thread_ends_when_the_loop_around_it_fails(shared_set):
    def loop() -> None:
        for batch in shared_set.batches("train", 16, seed=0):
            raise RuntimeError(len(batch))

    with pytest.raises(RuntimeError):
        loop()
    gc.collect()
    assert _reading_threads() == 0


@pytest.mark.slow
def test_a_program_that_keeps_a_started_pass_ends(shared_set):
    code = (
        "import sys; from recnas.data import Dataset\n"
        "iterator = iter(Dataset(sys.argv[1]).batches('train', 16, seed=0)); next(iterator)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(shared_set.path)], check=False, timeout=120)
    assert ended.returncode == 0
