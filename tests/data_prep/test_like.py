"""A new log prepared as an earlier one was, so that the earlier one's models can take it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recnas.cli import main
from recnas.data import Dataset, fit_inputs
from recnas.data.describe import describe
from recnas.data_prep import prepare, unseen_lines
from recnas.export.fit import check_fits
from recnas.features.inputs import Inputs
from recnas.features.raw_values import raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError
from tests.data_prep.test_encode import assert_same_as_prepared

ROLES = {"label": "click", "dense": ["price", "age:log1p"], "sparse": ["user", "city"], "multi": ["tags"]}


def _day(folder: Path, name: str, users: range, rows: int = 200) -> tuple[Path, list[dict[str, str]]]:
    """A day's log; on another day other users come, and prices are higher."""
    randomness = random.Random(name)
    found = [
        {
            "click": str(place % 3 // 2),
            "price": "" if place % 9 == 0 else str(users.start + randomness.random()),
            "age": str(place % 50),
            "user": f"u{randomness.choice(users)}",
            "city": randomness.choice(["Rome", "Oslo", ""]),
            "tags": randomness.choice(["a;b", "a", "", f"t{users.start}"]),
        }
        for place in range(rows)
    ]
    path = folder / f"{name}.csv"
    path.write_text("\n".join([",".join(found[0]), *(",".join(row.values()) for row in found)]) + "\n")
    return path, found


@pytest.fixture
def monday(tmp_path: Path) -> Schema:
    path, _ = _day(tmp_path, "monday", range(10))
    return prepare("tabular", tmp_path / "monday", path, multi_separator=";", progress=False, **ROLES)


def test_a_log_prepared_like_another_fits_its_models_and_is_read_as_they_read(monday, tmp_path):
    path, rows = _day(tmp_path, "tuesday", range(5, 15))
    alone = prepare("tabular", tmp_path / "alone", path, multi_separator=";", progress=False, **ROLES)
    assert alone.dense != monday.dense
    with pytest.raises(InputError, match=r"does not fit .*; prepare that log with: recnas prepare … --like '?mo del'?"):
        check_fits(monday, Dataset(tmp_path / "alone"), Path("mo del"))
    schema = prepare("tabular", tmp_path / "tuesday", path, like=tmp_path / "monday", progress=False)
    assert (schema.label, schema.dense, schema.sparse) == (monday.label, monday.dense, monday.sparse)
    check_fits(monday, Dataset(tmp_path / "tuesday"), tmp_path / "monday")
    # A model's tables may be capped.
    monday.capped(4).save(tmp_path)
    prepare("tabular", tmp_path / "small", path, like=tmp_path, progress=False)
    check_fits(monday.capped(4), Dataset(tmp_path / "small"), tmp_path)
    assert_same_as_prepared(tmp_path / "tuesday", rows)


FED = [
    Inputs(("bins", "columns", "piecewise", "missing"), crosses=("user:{0}",), min_count=2),
    Inputs(("bins",), min_count=3),
    Inputs(("missing",), crosses=("{1}:user", "{0}:user:{1}")),
    Inputs(()),
    Inputs(("bins", "missing"), crosses=("user:{0}", "{1}:{0}"), min_count=2, dropped=("user", "{1}")),
    Inputs(dropped=("{0}",)),
]


def assert_fed_alike(one: Dataset, other: Dataset) -> None:
    for split in SPLITS:
        for first, second in zip(one.batches(split, 16), other.batches(split, 16), strict=True):
            assert first.dense.tolist() == second.dense.tolist()
            assert first.sparse.keys() == second.sparse.keys()
            assert first.sparse.values().tolist() == second.sparse.values().tolist()


@pytest.mark.parametrize("inputs", FED)
@pytest.mark.parametrize("recipe", ["tabular", "movielens"])
def test_a_log_prepared_like_a_model_can_be_fed_to_it_however_it_is_fed(
    tmp_path, movielens_folder, recipe, inputs
) -> None:
    options, names = {}, ("gender", "age")
    path = movielens_folder
    if recipe == "tabular":
        path, _ = _day(tmp_path, "monday", range(10))
        options, names = {"multi_separator": ";", "unseen": "shared", **ROLES}, ("city", "age")
    prepare(recipe, tmp_path / "first", path, progress=False, **options)
    dataset = Dataset(tmp_path / "first")
    written = {key: tuple(text.format(*names) for text in getattr(inputs, key)) for key in ("crosses", "dropped")}
    inputs = replace(inputs, **written)
    model = fit_inputs(dataset, inputs)
    for cap in (None, 3):
        (tmp_path / "model").mkdir(exist_ok=True)
        model.capped(cap).save(tmp_path / "model")
        prepare(recipe, tmp_path / "second", path, like=tmp_path / "model", progress=False, overwrite=True)
        second = Dataset(tmp_path / "second")
        check_fits(model.capped(cap), second, tmp_path / "model")
        assert_fed_alike(dataset.fed(model.capped(cap)), second.fed(model.capped(cap)))


@pytest.mark.parametrize(("words", "options"), [(("no", "yes"), {}), (("3", "5"), {"positive": ["5"]})])
def test_labels_are_read_as_they_were(tmp_path, words, options):
    rows = "".join(f"{words[n % 4 == 0]},u{n % 5}\n" for n in range(60))
    path = tmp_path / "log.csv"
    path.write_text("y,user\n" + rows)
    first = prepare("tabular", tmp_path / "a", path, label="y", sparse=["user"], progress=False, **options)
    path.write_text("y,user\n" + rows + "4,u1\n")
    like = {"like": tmp_path / "a", "split": "test", "progress": False}
    if not options:
        with pytest.raises(InputError, match=r"log\.csv:62: y is '4', which is not"):
            prepare("tabular", tmp_path / "b", path, **like)
        path.write_text("y,user\n" + rows)
    schema = prepare("tabular", tmp_path / "b", path, **like)
    assert schema.positive == first.positive == (words[1],)
    assert schema.splits["test"] == {"rows": 60 + len(options), "positives": 15}


@pytest.mark.parametrize("unseen", ["shared", "missing", "hash"])
def test_how_much_of_a_new_log_is_unseen_is_counted(tmp_path, unseen):
    path, _ = _day(tmp_path, "monday", range(10))
    options = {"multi_separator": ";", "unseen": unseen, "progress": False}
    monday = prepare("tabular", tmp_path / "monday", path, **options, **ROLES)
    path, rows = _day(tmp_path, "tuesday", range(5, 15))
    schema = prepare("tabular", tmp_path / "tuesday", path, like=tmp_path / "monday", progress=False)
    if unseen == "hash":
        assert schema.source["unseen"] == {}
        assert unseen_lines(schema) == ["not listed as known, so not compared: user, city, tags"]
        return
    given = {"user": [row["user"] for row in rows], "city": [row["city"] for row in rows if row["city"]]}
    given["tags"] = [tag for row in rows for tag in row["tags"].split(";") if tag]
    for feature in monday.sparse:
        values = given[feature.name]
        new = [value for value in values if raw_value(value) not in feature.kept]
        figures = {"share": len(new) / len(values), "unseen_values": len(set(new)), "values": len(set(values))}
        assert schema.source["unseen"][feature.name] == figures
    assert schema.source["unseen"]["city"]["share"] == 0
    assert 0.2 < schema.source["unseen"]["user"]["share"] < 0.8
    assert unseen_lines(schema)[1] == "city: 0.0% of its values were not known, 0 of 2 different ones"
    assert unseen_lines(monday) == []


def test_a_small_log_may_be_for_the_test_as_a_whole(monday, tmp_path, capsys):
    path, _ = _day(tmp_path, "tuesday", range(5, 15), rows=6)
    command = ["prepare", "tabular", "--input", str(path), "--output", str(tmp_path / "out"), "--quiet"]
    assert main([*command, "--like", str(tmp_path / "monday"), "--split", "test"]) == 0
    out = capsys.readouterr().out
    assert "test                   6 rows, 33.33% clicks\n2 dense" in out
    assert "user: " in out
    dataset = Dataset(tmp_path / "out", needed=("test",))
    assert [dataset.rows(split) for split in SPLITS] == [0, 0, 6]
    assert sum(len(batch.label) for batch in dataset.batches("test", 4)) == 6
    with pytest.raises(InputError, match="the train split is empty; there is nothing to read"):
        dataset.batches("train", 4)
    with pytest.raises(InputError, match="train split is empty; prepare the data set with another --split than test"):
        Dataset(tmp_path / "out")
    found = describe(tmp_path / "out")
    assert found.click_rate == {"train": None, "validation": None, "test": 2 / 6}
    assert type(found).from_json(found.to_json()) == found
    assert "train" not in str(found)


def test_a_split_without_training_rows_measures_nothing(tmp_path, train_txt):
    path, _ = _day(tmp_path, "tuesday", range(5))
    with pytest.raises(InputError, match=r"--split test leaves no rows .*; add --like MODEL_OR_DATA"):
        prepare("tabular", tmp_path / "out", path, split="test", progress=False, **ROLES)
    # Criteo's tables and transforms are as published, whatever the rows.
    assert prepare("criteo", tmp_path / "out", train_txt, split="test", progress=False).rows("test") == 200


@pytest.mark.parametrize("option", ["label", "sparse", "min_count", "unseen", "multi_separator", "transform"])
def test_what_the_other_data_set_says_may_not_be_said_again(monday, tmp_path, option):
    path, _ = _day(tmp_path, "tuesday", range(5))
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} does not go with --like"):
        prepare("tabular", tmp_path / "out", path, like=tmp_path / "monday", **{option: "1"})


def test_what_cannot_be_prepared_alike_is_refused(monday, tmp_path, movielens_folder):
    (tmp_path / "b.csv").write_text("click,price,age,user,tags\n1,2,3,4,5\n")
    with pytest.raises(InputError, match=r"b\.csv: there is no column 'city'; there are click, price"):
        prepare("tabular", tmp_path / "out", tmp_path / "b.csv", like=tmp_path / "monday", progress=False)
    with pytest.raises(InputError, match="dense features are price, age where this log has age, release_year, time"):
        prepare("movielens", tmp_path / "out", movielens_folder, like=tmp_path / "monday", progress=False)
    first = prepare("movielens", tmp_path / "first", movielens_folder, progress=False)
    replace(first, sparse=tuple(replace(item, vocabulary=None) for item in first.sparse)).save(tmp_path / "first")
    with pytest.raises(InputError, match="its gender is read in another way; give a data set or model of"):
        prepare("movielens", tmp_path / "out", movielens_folder, like=tmp_path / "first", progress=False)
    with pytest.raises(InputError, match=r"--like: .*none.schema\.json: no such file"):
        prepare("movielens", tmp_path / "out", movielens_folder, like=tmp_path / "none", progress=False)
    replace(monday, version=2).save(tmp_path / "monday")
    with pytest.raises(InputError, match=r"--like .*monday: the schema has version 2"):
        prepare("tabular", tmp_path / "out", tmp_path / "b.csv", like=tmp_path / "monday", progress=False)


def test_a_recipe_that_measures_its_features_takes_another_logs(tmp_path, movielens_folder):
    first = prepare("movielens", tmp_path / "first", movielens_folder, progress=False)
    users = movielens_folder / "ml-100k.user"
    users.write_text(users.read_text().replace("technician", "artist").replace("\t24\t", "\t64\t"))
    alone = prepare("movielens", tmp_path / "alone", movielens_folder, progress=False)
    assert alone.dense != first.dense
    assert alone.sparse != first.sparse
    schema = prepare("movielens", tmp_path / "like", movielens_folder, like=tmp_path / "first", progress=False)
    assert (schema.dense, schema.sparse) == (first.dense, first.sparse)
    words = next(feature.vocabulary for feature in schema.sparse if feature.name == "occupation")

    def occupations(folder: str, vocabulary: tuple[str, ...]) -> list[str | None]:
        frames = [pl.read_parquet(tmp_path / folder / split / "*.parquet") for split in SPLITS]
        return [None if place is None else vocabulary[place] for place in pl.concat(frames)["occupation"]]

    expected = occupations("alone", next(f.vocabulary for f in alone.sparse if f.name == "occupation"))
    assert occupations("like", words) == [None if word == "artist" else word for word in expected]
    share = expected.count("artist") / len(expected)
    assert schema.source["unseen"]["occupation"] == {"share": share, "unseen_values": 1, "values": 3}
