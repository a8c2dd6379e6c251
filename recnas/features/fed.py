"""What of a data set a model is fed: whether a schema can be made from a data set's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from recnas.features.feature import MISSING_INDICATOR, SHARED, DenseFeature, SparseFeature, parts_of
from recnas.features.number_field import PIECEWISE
from recnas.features.schema import RAW_NUMBERS_SINCE, Schema


class Difference(NamedTuple):
    """Why what a model is fed cannot be made from a data set.

    Attributes:
        what: In words.
        remedy: What helps, if it is another than to prepare the data set like the model's.
    """

    what: str
    remedy: str | None = None


def difference(own: Schema, fed: Schema) -> Difference | None:
    """Why what a model is fed cannot be made from a data set; None: it can.

    The data set may have more features than the model is fed, and know more ids than are kept. Labels, row counts and
    sources may differ. So may tables, as far as a cap explains it: the data set's tables, capped at the largest of what
    is fed, must be what is fed.

    Args:
        own: The data set's own schema.
        fed: The schema of what a model is fed.
    """
    return next(_differences(own, fed), None)


def needs_raw_numbers(fed: Schema) -> str | None:
    """How numbers are fed that only a data set of version 4 has as they were given; None: there are none."""
    if any(feature.number is not None for feature in parts_of(fed.sparse)):
        return "bins"
    if any(item.kind == PIECEWISE for item in fed.number_fields):
        return PIECEWISE
    return MISSING_INDICATOR if any(_is_indicator(feature) for feature in fed.dense) else None


def _differences(own: Schema, fed: Schema) -> Iterator[Difference]:
    parts = parts_of(fed.sparse)
    numbers = [feature.number_name for feature in fed.dense]
    numbers += [feature.number for feature in parts if feature.number is not None]
    names, wanted = [feature.name for feature in own.dense], list(dict.fromkeys(numbers))
    # Numbers that are fed in several ways have no order of their own.
    if not _in_order(wanted, names) if is_as_prepared(fed) else not set(wanted) <= set(names):
        yield _other_names("dense", names, wanted)
    plain = [feature for feature in fed.sparse if feature.number is None and not feature.joint]
    names, wanted = [feature.name for feature in own.sparse], [feature.name for feature in plain]
    unfed = [part.name for part in parts if part.number is None and part.name not in (*names, *wanted)]
    if unfed or not _in_order(wanted, names):
        yield _other_names("sparse", names, [*wanted, *unfed])
    if (mine := fed.read_by_the_old_rule) != (theirs := own.read_by_the_old_rule):
        yield Difference(
            f"their schemas' versions, {own.version} and {fed.version}, have different rules for the ids of "
            f"{mine or theirs}",
            "prepare the older's data again",
        )
    if own.version < RAW_NUMBERS_SINCE and (kind := needs_raw_numbers(fed)) is not None:
        yield without_raw_numbers(own, kind)
    dense = {feature.name: feature for feature in own.dense}
    for feature in fed.dense:
        if not _is_indicator(feature):
            yield from _other_transform(dense[feature.number_name], feature)
    sparse = {feature.name: feature for feature in own.capped(max(feature.rows for feature in fed.sparse)).sparse}
    for feature in plain:
        yield from _other_feature(sparse[feature.name], feature)
    for feature in parts:
        if feature.number is None and feature not in plain:
            yield from _other_ids(sparse[feature.name], feature)


def prepared(fed: Schema) -> Schema:
    """The schema of a data set of which a model is fed what a schema says, as far as that is known from it.

    A number that is only fed as bins has no transform, ids that are not kept are not known, and of features that are
    dropped there are those of which joint ids are made, after the others.
    """
    numbers = {feature.name: feature for feature in fed.dense if not _is_indicator(feature)}
    for feature in parts_of(fed.sparse):
        if feature.as_number is not None:
            numbers.setdefault(feature.as_number.name, feature.as_number)
    for feature in filter(_is_indicator, fed.dense):
        name = feature.number_name
        numbers.setdefault(name, DenseFeature(name, {"name": "none"}, feature.column, feature.missing))
    plain = [feature for feature in fed.sparse if feature.number is None and not feature.joint]
    ids = {feature.name: feature for feature in plain}
    for feature in parts_of(fed.sparse):
        if feature.number is None:
            ids.setdefault(feature.name, feature)
    return replace(fed, dense=tuple(numbers.values()), sparse=tuple(ids.values()), number_fields=(), reads_columns=True)


def is_as_prepared(fed: Schema) -> bool:
    """Whether nothing in a schema is made from what a data set has, so that it may be a data set's own."""
    derived = any(feature.number is not None for feature in fed.dense)
    derived |= any(feature.number is not None or feature.joint for feature in fed.sparse)
    return not (derived or fed.number_fields)


def without_raw_numbers(own: Schema, kind: str) -> Difference:
    """What keeps a data set of an older version from being fed numbers as bins, say."""
    what = f"it has version {own.version}, which keeps transformed numbers only: they cannot be fed as {kind}"
    return Difference(what, "prepare the data set again")


def _is_indicator(feature: DenseFeature) -> bool:
    return feature.transform["name"] == MISSING_INDICATOR


def _in_order(wanted: list[str], names: list[str]) -> bool:
    """Whether names are among others, in the same order."""
    among = set(wanted)
    return wanted == [name for name in names if name in among]


def _other_names(kind: str, names: list[str], wanted: list[str]) -> Difference:
    return Difference(
        f"its {kind} features are {', '.join(names) or 'none'} where {', '.join(wanted) or 'none'} belong"
    )


def _other_transform(own: DenseFeature, fed: DenseFeature) -> Iterator[Difference]:
    if dict(own.transform) != dict(fed.transform):
        yield Difference(f"{fed.name} was transformed by {dict(own.transform)} where {dict(fed.transform)} is expected")


def _other_feature(own: SparseFeature, fed: SparseFeature) -> Iterator[Difference]:
    for name in ("multi_valued", "pooling"):
        if (value := getattr(own, name)) != (wanted := getattr(fed, name)):
            yield Difference(f"{fed.name} has {name} {value} where {wanted} is expected")
    if own.kept == fed.kept and own.rows != fed.rows:
        yield Difference(f"{fed.name} has rows {own.rows} where {fed.rows} is expected")
    yield from _other_ids(own, fed)


def _other_ids(own: SparseFeature, fed: SparseFeature) -> Iterator[Difference]:
    """Whether ids as the data set has them say what they are as they are fed."""
    same = own.vocabulary == fed.vocabulary and own.id_parser == fed.id_parser
    if own.kept is not None and (own.kept, own.unseen) != (fed.kept, fed.unseen):
        # Of a value that the data set does not keep, nobody knows more than that.
        same &= fed.kept is not None and bool(np.isin(fed.kept_array, own.kept_array).all())
        same &= own.unseen == SHARED or fed.unseen != SHARED
    if not same:
        yield Difference(f"{fed.name} has another vocabulary, so the same ids stand for other values")
