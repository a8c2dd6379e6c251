"""The description of a data set against plain Python."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import recnas
from recnas.cli import main
from recnas.data import describe, scanning
from recnas.features.description import Description
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.raw_values import raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three splits with a dense, a plain, a worded, a multi-valued and a thinned-out feature, some of them missing."""
    rng = random.Random(0)
    rows = {"train": 80, "validation": 10, "test": 10}
    for split, count in rows.items():
        (tmp_path / split).mkdir()
        frame = pl.DataFrame(
            {
                "label": [number % 2 for number in range(count)],
                "age": [rng.choice([None, 0.0, 1.5, 2.5]) for _ in range(count)],
                "id": [rng.choice([None, *range(0, 3000, 100)]) for _ in range(count)],
                "gender": [rng.choice([0, 1]) for _ in range(count)],
                "tags": [rng.choices(range(6), k=rng.randint(0, 3)) for _ in range(count)],
                "site": [rng.choice([None, 0, 1, 1, 1]) for _ in range(count)],
            },
            schema={
                "label": pl.Int8,
                "age": pl.Float64,
                "id": pl.UInt32,
                "gender": pl.UInt32,
                "tags": pl.List(pl.UInt32),
                "site": pl.UInt32,
            },
        )
        frame.write_parquet(tmp_path / split / "part-00000.parquet")
    schema = Schema(
        "label",
        (DenseFeature("age", {"name": "log1p"}),),
        (
            SparseFeature("id", 18),
            SparseFeature("gender", 3, vocabulary=("f", "m")),
            SparseFeature("tags", 7, pooling="mean", multi_valued=True),
            SparseFeature("site", 3, kept=(77, 4000000000)),
        ),
        {name: {"rows": count, "positives": count // 2} for name, count in rows.items()},
    )
    schema.save(tmp_path)
    return tmp_path


def _columns(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / split / "*.parquet") for split in SPLITS])


def test_figures_are_those_of_plain_python(folder: Path) -> None:
    found, frame = describe(folder), _columns(folder)
    assert (found.rows["train"], found.click_rate["train"]) == (80, 0.5)
    ages = frame["age"].to_list()
    given = [age for age in ages if age is not None]
    (age,) = found.dense
    assert (age.minimum, age.maximum, age.missing) == (min(given), max(given), ages.count(None) / 100)
    mean = sum(given) / len(given)
    assert age.mean == pytest.approx(mean)
    assert age.deviation == pytest.approx(math.sqrt(sum((value - mean) ** 2 for value in given) / (len(given) - 1)))
    ids, _, tags, _ = found.sparse
    counts = Counter(value for value in frame["id"] if value is not None)
    assert ids.distinct == len(counts)
    assert ids.missing == frame["id"].null_count() / 100
    places = Counter(value % 17 for value in counts)
    assert ids.collisions == pytest.approx(sum(places[value % 17] > 1 for value in counts) / len(counts))
    assert 0 < ids.collisions < 1
    total = sum(counts.values())
    wanted = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    assert ids.most_frequent == tuple((str(value), count / total) for value, count in wanted)
    flat = [tag for row in frame["tags"] for tag in row]
    assert tags.distinct == len(set(flat))
    assert tags.missing == sum(not len(row) for row in frame["tags"]) / 100
    assert tags.most_frequent[0][1] == Counter(flat).most_common(1)[0][1] / len(flat)


def test_columns_one_at_a_time_have_the_figures_of_many_at_once(folder: Path, monkeypatch) -> None:
    at_once = describe(folder)
    monkeypatch.setattr(scanning, "VALUES_AT_ONCE", 1)
    assert describe(folder) == at_once


def test_a_wide_table_is_scanned_once_for_its_dense_and_once_for_its_sparse_columns(
    tmp_path: Path, monkeypatch
) -> None:
    width = 40
    columns = {f"d{place}": [0.0, 1.0, float(place)] for place in range(width)}
    ids = {f"s{place}": [None, place, 7] for place in range(width)}
    frame = pl.DataFrame({**columns, **ids}).cast({pl.Int64: pl.UInt32})
    frame = frame.with_columns(pl.Series("label", [0, 1, 0], pl.Int8))
    for split in SPLITS:
        (tmp_path / split).mkdir()
        frame.write_parquet(tmp_path / split / "part-00000.parquet")
    Schema(
        "label",
        tuple(DenseFeature(name, {"name": "none"}) for name in columns),
        tuple(SparseFeature(name, 100) for name in ids),
        {split: {"rows": 3, "positives": 1} for split in SPLITS},
    ).save(tmp_path)
    scans = []
    collect = pl.LazyFrame.collect

    def counted(query: pl.LazyFrame, *args: object, **options: object) -> pl.DataFrame:
        scans.extend(line for line in query.explain().splitlines() if "SCAN" in line and "DF" not in line)
        return collect(query, *args, **options)

    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    found = describe(tmp_path)
    assert len(scans) == 2
    # Each column has its own figures.
    assert [item.maximum for item in found.dense] == [max(1.0, float(place)) for place in range(width)]
    assert [item.mean for item in found.dense] == pytest.approx([(1 + place) / 3 for place in range(width)])
    assert [item.distinct for item in found.sparse] == [1 if place == 7 else 2 for place in range(width)]
    assert all(item.missing == pytest.approx(1 / 3) for item in found.sparse)


def test_words_stand_for_values_and_a_roomy_table_has_no_collisions(folder: Path) -> None:
    gender = describe(folder).sparse[1]
    assert {word for word, _ in gender.most_frequent} == {"f", "m"}
    assert gender.collisions == 0


def test_of_a_thinned_out_feature_the_raw_values_are_shown(folder: Path) -> None:
    site, column = describe(folder).sparse[3], _columns(folder)["site"]
    shares = [sum(value == place for value in column) / column.count() for place in (1, 0)]
    assert site.most_frequent == (("4000000000", shares[0]), ("77", shares[1]))
    assert (site.distinct, site.missing, site.collisions) == (2, column.null_count() / 100, 0)


def test_the_words_of_the_schema_stand_for_values_and_one_for_those_that_share_an_id(folder: Path) -> None:
    schema = Schema.load(folder)
    frequent = Counter(_columns(folder)["id"].drop_nulls()).most_common(1)[0][0]
    sparse = (
        # A word whose value does not occur is no harm.
        replace(schema.sparse[0], words=("Rome", str(frequent) + ".0")),
        *schema.sparse[1:3],
        replace(schema.sparse[3], kept=(raw_value("Zürich"),), unseen="shared", words=("Zürich",)),
    )
    replace(schema, sparse=sparse).save(folder)
    ids, _, _, site = describe(folder).sparse
    assert ids.most_frequent[0][0] == f"{frequent}.0"
    assert [name for name, _ in site.most_frequent] == ["(rare or unseen)", "Zürich"]


def test_a_description_comes_back_from_json(folder: Path) -> None:
    found = describe(folder)
    assert Description.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_the_table_says_what_zeros_are_and_its_columns_stand_under_their_names(folder: Path) -> None:
    lines = str(recnas.describe(folder)).splitlines()
    (head,) = [line for line in lines if line.startswith("dense")]
    (age,) = [line for line in lines if line.startswith("age")]
    assert head.endswith(" missing")
    assert len(head) == len(age)
    assert head.index("transform") + len("transform") == age.index("log1p") + len("log1p")


def test_the_command_prints_a_table_or_json(folder: Path, capsys) -> None:
    assert main(["describe", str(folder)]) == 0
    table = capsys.readouterr().out
    assert "80 rows" in table
    assert all(name in table for name in ("age", "id", "gender", "tags", "site"))
    assert main(["describe", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(describe(folder).to_json()))
    assert main(["describe", str(folder / "train")]) == 2


def test_of_a_data_set_without_rows_nothing_is_told(folder: Path) -> None:
    schema = replace(Schema.load(folder), splits={split: {"rows": 0, "positives": 0} for split in SPLITS})
    schema.save(folder)
    for split in SPLITS:
        (folder / split / "part-00000.parquet").unlink()
    with pytest.raises(InputError, match="all splits are empty; prepare the data set again"):
        describe(folder)
