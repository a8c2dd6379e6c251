"""A new log prepared as an earlier one was: nothing is measured anew, so that the earlier one's models can take it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recnas.data_prep.counts import ValueCounts
from recnas.data_prep.engine import RawTable, Summary
from recnas.data_prep.labels import rule_like
from recnas.data_prep.roles import Roles
from recnas.data_prep.rows import unnamed
from recnas.features.feature import MISSING, SparseFeature
from recnas.features.fed import prepared
from recnas.features.schema import Schema
from recnas.util.errors import InputError


def schema_like(path: str | Path) -> Schema:
    """The schema of a data set that another log is to be prepared like, or of that which a model was trained on.

    Raises:
        InputError: there is none, or it is too old to say how raw values are read.
    """
    try:
        schema = Schema.load(path)
    except InputError as error:
        raise InputError(f"--like: {error}") from None
    if schema.unreadable is not None:
        raise InputError(f"--like {path}: {schema.unreadable}")
    return prepared(schema)


def roles_like(schema: Schema, sample: pl.DataFrame, time: str | None) -> Roles:
    """What the columns of a table, of which this is a sample, are for: what they were for in a data set."""
    label = sample[schema.label] if schema.label in sample.columns else pl.Series(dtype=pl.String)
    return Roles(
        schema.label,
        rule_like(schema, label),
        {feature.name: feature.transform["name"] for feature in schema.dense},
        [feature.name for feature in schema.sparse if not feature.multi_valued],
        [feature.name for feature in schema.sparse if feature.multi_valued],
        time,
    )


def as_read(feature: SparseFeature) -> SparseFeature:
    """A feature as rows are read, before values become places among the kept ones."""
    return replace(feature, kept=None, unseen=MISSING)


def made_like(table: RawTable, schema: Schema, path: str | Path) -> RawTable:
    """The rows of a recipe with the transforms, tables and vocabularies of another data set of the recipe.

    Raises:
        InputError: that data set has other features.
    """
    for kind, ours, theirs in (
        ("dense", list(table.dense), [feature.name for feature in schema.dense]),
        ("sparse", [feature.name for feature in table.sparse], [feature.name for feature in schema.sparse]),
    ):
        # A model may be fed some features only; a data set has them all.
        if not set(theirs) <= set(ours):
            raise InputError(
                f"--like {path}: its {kind} features are {', '.join(theirs) or 'none'} where this log has "
                f"{', '.join(ours) or 'none'}; give a data set or model of the same recipe"
            )
    if schema.label != table.label:
        raise InputError(f"--like {path}: its label is {schema.label}, this log's is {table.label}")
    known = {feature.name: feature for feature in table.sparse}
    pairs = [(known[like.name], like) for like in schema.sparse]
    for own, like in pairs:
        if _way_of_reading(own) != _way_of_reading(like):
            raise InputError(
                f"--like {path}: its {own.name} is read in another way; give a data set or model of the same recipe"
            )
    pairs = [(own, like) for own, like in pairs if own.vocabulary != like.vocabulary]
    recoded = {own.name for own, _ in pairs}
    unseen = Unseen([feature for feature in schema.sparse if feature.name not in recoded])
    return replace(
        table,
        chunks=_recoded(table.chunks, pairs, unseen),
        sparse=schema.sparse,
        summaries=(*table.summaries, unseen),
        like=schema,
    )


def _way_of_reading(feature: SparseFeature) -> tuple[Any, ...]:
    """What must be equal of two features whose raw values are read alike; words and what is kept may differ."""
    return feature.column, feature.id_parser, feature.multi_valued, feature.separator, feature.vocabulary is None


def _recoded(
    chunks: Iterator[pl.DataFrame], pairs: Sequence[tuple[SparseFeature, SparseFeature]], unseen: "Unseen"
) -> Iterator[pl.DataFrame]:
    """The chunks with places in one vocabulary as places in another; a word that is not in it is missing."""
    places, unknown = {}, {}
    for own, like in pairs:
        new = [like.unkept_id_of(word) for word in own.vocabulary or ()]
        places[own.name] = pl.Series("value", new, dtype=pl.UInt32)
        is_unknown = (like.id_of(word) in (None, like.shared_id) for word in own.vocabulary or ())
        unknown[own.name] = np.fromiter(is_unknown, dtype=bool)
    for chunk in chunks:
        columns = []
        for name, known in places.items():
            column = unnamed(chunk[name])
            unseen.note(name, column, lambda values, name=name: unknown[name][values])
            if isinstance(column.dtype, pl.List):
                ids = pl.element().replace_strict(range(len(known)), known, default=None, return_dtype=pl.UInt32)
                column = column.list.eval(ids).list.drop_nulls()
            else:
                column = known.gather(column)
            columns.append(column.alias(name))
        yield chunk.with_columns(columns)


class Unseen(Summary):
    """How much of a new log the earlier one's model has no id of its own for: the schema's `source.unseen`.

    Of each feature whose known values are listed: the share of all values, and how many different ones of how many. Of
    hashed ones nobody knows.

    Args:
        features: The earlier data set's.
    """

    def __init__(self, features: Sequence[SparseFeature]) -> None:
        self._kept = {feature.name: feature.kept_array for feature in features if feature.kept is not None}
        self._known = {name: ValueCounts() for name in self._kept}
        self._unseen = {name: ValueCounts() for name in self._kept}

    def add(self, chunk: pl.DataFrame, places: np.ndarray) -> None:
        for name, kept in self._kept.items():
            self.note(name, unnamed(chunk[name]), lambda values, kept=kept: ~np.isin(values, kept))

    def note(self, name: str, column: pl.Series, is_unseen: Callable[[np.ndarray], np.ndarray]) -> None:
        """Counts the values of a column, or of its lists, of which `is_unseen` tells the unseen ones."""
        values = column.explode() if isinstance(column.dtype, pl.List) else column
        numbers = values.drop_nulls().cast(pl.UInt32).to_numpy()
        unseen = is_unseen(numbers)
        for counts, chosen in ((self._known, numbers[~unseen]), (self._unseen, numbers[unseen])):
            counts.setdefault(name, ValueCounts()).add(chosen)

    def to_json(self) -> dict[str, Any]:
        return {"unseen": {name: self._figures(name) for name in self._known}}

    def _figures(self, name: str) -> dict[str, float | int]:
        (known, known_counts), (unseen, unseen_counts) = self._known[name].take(), self._unseen[name].take()
        number = int(unseen_counts.sum())
        return {
            "share": number / max(1, number + int(known_counts.sum())),
            "unseen_values": len(unseen),
            "values": len(known) + len(unseen),
        }


def unseen_lines(schema: Schema) -> list[str]:
    """Lines for the user: what `Unseen` found in a log that was prepared like another; none of any other."""
    unseen: Mapping[str, Mapping[str, float]] | None = schema.source.get("unseen")
    if unseen is None:
        return []
    lines = [
        f"{name}: {figures['share']:.1%} of its values were not known, {figures['unseen_values']:,} of "
        f"{figures['values']:,} different ones"
        for name, figures in unseen.items()
    ]
    if others := [feature.name for feature in schema.sparse if feature.name not in unseen]:
        lines.append(f"not listed as known, so not compared: {', '.join(others)}")
    return lines
