"""Schemas of what models are fed: random ones, with features that are made of others."""

from dataclasses import replace

from hypothesis import strategies as st

from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.number_field import NumberField
from recnas.features.schema import Schema

EDGES = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0, 7.0, 1e3, 1e300]), max_size=5, unique=True).map(sorted)
KNOTS = st.lists(st.floats(-3, 3, width=16), min_size=2, max_size=5, unique=True).map(sorted)


@st.composite
def fed_schemas(draw: st.DrawFn, prepared: st.SearchStrategy[Schema]) -> Schema:
    """What a model may be fed of a data set: bins, joint ids, indicators, numbers as fields, each of them or not.

    Args:
        draw: Hypothesis's.
        prepared: Schemas of data sets.
    """
    own = draw(prepared)
    some = st.booleans()
    columns = tuple(feature for feature in own.dense if draw(some))
    indicators = {
        feature.name: replace(
            feature, name=f"{feature.name} (missing)", transform={"name": "missing"}, number=feature.name
        )
        for feature in own.dense
        if draw(some)
    }
    bins = [draw(_bins(feature)) for feature in own.dense if draw(some)]
    single = [feature for feature in own.sparse if not feature.multi_valued]
    parts = [*single, *bins]
    if single and draw(some):
        # As in a model whose tables were capped.
        parts.append(replace(single[0], rows=7))
    joint = [] if len(parts) < 2 else [draw(_joint(parts, place)) for place in range(draw(st.integers(0, 2)))]
    as_fields = [feature.name for feature in columns if draw(some)]
    fields = [draw(_field(name, indicators.get(name))) for name in (*as_fields, *as_fields[:1])]
    return replace(
        own,
        dense=(*columns, *indicators.values()),
        sparse=(*own.sparse, *(item for item in bins if draw(some)), *joint),
        number_fields=tuple(fields),
        reads_columns=draw(some) or not fields,
    )


@st.composite
def _bins(draw: st.DrawFn, feature: DenseFeature) -> SparseFeature:
    edges = tuple(draw(EDGES))
    missing = draw(st.sampled_from([feature.missing, feature.missing, ("7", "none")]))
    name = f"{feature.name} (bins)"
    return SparseFeature(name, len(edges) + 2, column=feature.column, missing=missing, number=feature.name, edges=edges)


@st.composite
def _joint(draw: st.DrawFn, parts: list[SparseFeature], place: int) -> SparseFeature:
    chosen = draw(st.lists(st.sampled_from(range(len(parts))), min_size=2, max_size=3, unique=True))
    kept = draw(st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=5, unique=True).map(sorted).map(tuple))
    joined = tuple(parts[number] for number in chosen)
    feature = SparseFeature(f"{place}: {len(joined)} parts", 9, joint=joined)
    return feature if kept is None else replace(feature, kept=kept, unseen=draw(st.sampled_from(["missing", "shared"])))


@st.composite
def _field(draw: st.DrawFn, name: str, indicator: DenseFeature | None) -> NumberField:
    missing = None if indicator is None or draw(st.booleans()) else indicator.name
    edges = draw(st.none() | KNOTS)
    return NumberField(name, missing=missing) if edges is None else NumberField(name, "piecewise", edges, missing)
