"""Data sets of earlier versions, whose files have transformed numbers: what can be done with them, and what not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recnas.data import Dataset, describe, fit_inputs
from recnas.features.feature import DenseFeature
from recnas.features.inputs import Inputs
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError
from tests.data.conftest import assert_equal_batches

DENSE = (
    DenseFeature("number", {"name": "log1p"}),
    DenseFeature("x", {"name": "standardize", "mean": 0.5, "std": 2.0}),
)


@pytest.fixture
def both(make_data_set, tmp_path: Path) -> tuple[Dataset, Dataset]:
    """The same rows as a data set of version 3, and as one of version 4; some numbers are missing."""
    path, _ = make_data_set()
    schema = replace(Dataset(path).schema, dense=DENSE)
    schema.save(path)
    old = tmp_path / "old"
    for split in SPLITS:
        (old / split).mkdir(parents=True)
        for part in (path / split).iterdir():
            frame = pl.read_parquet(part)
            frame = frame.with_columns(x=pl.when(pl.col("number") % 5 > 0).then("x"))
            frame.write_parquet(part, row_group_size=16)
            transformed = [pl.Series(item.name, item.apply(frame[item.name].to_numpy())) for item in DENSE]
            frame.with_columns(transformed).write_parquet(old / split / part.name, row_group_size=16)
    replace(schema, version=3).save(old)
    return Dataset(old), Dataset(path)


def test_their_batches_are_those_of_today(both):
    for seed in (None, 3):
        assert_equal_batches(*(list(dataset.batches("train", 30, seed=seed)) for dataset in both))


@pytest.mark.parametrize(
    "inputs",
    [
        Inputs(("field",)),
        Inputs(crosses=("user:item",)),
        Inputs(min_count=2),
        Inputs(("columns", "field"), min_count=3),
    ],
)
def test_what_needs_no_raw_number_can_be_fed(both, inputs):
    old, new = both
    schema = fit_inputs(old, inputs)
    assert replace(schema, version=4) == schema == fit_inputs(new, inputs)
    assert_equal_batches(*(list(dataset.fed(schema).batches("train", 30, seed=1)) for dataset in both))


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (Inputs(("bins",)), "bins"),
        (Inputs(("columns", "piecewise")), "piecewise"),
        (Inputs(("columns", "missing")), "missing"),
        (Inputs(crosses=("user:number",)), "parts of joint ids"),
    ],
)
def test_what_needs_raw_numbers_is_refused_in_one_line(both, inputs, kind):
    old, new = both
    message = f"keeps transformed numbers only: they cannot be fed as {kind}; prepare the data set again"
    with pytest.raises(InputError, match=f"old: it has version 3, which {message}") as caught:
        fit_inputs(old, inputs)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"old: it has version 3, which keeps transformed numbers only: .* prepare"):
        old.fed(fit_inputs(new, inputs))


def test_models_of_them_take_data_sets_of_today_and_the_other_way_round(both):
    old, new = both
    for schema in (old.schema, new.schema):
        assert_equal_batches(*(list(dataset.fed(schema).batches("test", 30)) for dataset in both))
    row = {"number": 7, "x": None, "user": "a", "tags": [1, "b"], "item": 5}
    for one, other in zip(old.schema.encode(row).arrays, new.schema.encode(row).arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nobody_can_tell_what_is_missing(both):
    old, new = (describe(dataset.path).dense for dataset in both)
    assert [item.missing for item in old] == [None, None]
    assert [item.missing for item in new] == [0, 48 / 240]
    assert old[0].maximum == pytest.approx(np.log1p(199))
    assert new[0].maximum == 199


def test_a_missing_number_is_damage(both):
    old, _ = both
    part = old.path / "validation" / "part-00000.parquet"
    pl.read_parquet(part).with_columns(x=pl.lit(None, pl.Float32)).write_parquet(part)
    with pytest.raises(InputError, match=r"part-00000\.parquet: column x has missing values; prepare the data set"):
        list(Dataset(old.path).batches("validation", 8))
