"""Schemas of what models are fed: random ones, with features that are made of others."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.number_field import NumberField
from recnas.features.schema import SPLITS, Schema
from tests.export.written_rows import ODD

COUNTS = {name: {"rows": 10, "positives": 4} for name in SPLITS}
NAMES = ["a", "price", "ad id", "Children's", 'the "top"', "\\n", "naïve", "区域", "😀", "x" * 80, "y " * 40]
WORDS = st.sampled_from(["NA", "Rome", "94043", "7", "a", "b", "", "14102123", "ff"])
VALUES = st.one_of(
    st.sampled_from(ODD),
    WORDS,
    st.integers(),
    st.integers(-3, 2**32 + 3),
    st.floats(),
    st.text(max_size=3),
    st.from_regex(r"-?[0-9]{1,20}(\.0)?|[0-9a-f]{1,9}", fullmatch=True),
    st.lists(st.one_of(WORDS, st.integers(0, 9), st.none()), max_size=4),
    st.lists(WORDS, max_size=3).map("|".join),
    st.sampled_from([" 7 ", "7.", "5e0", "0.7e1", "0e7", "\u2003NA\t", "\x1c7", "-0.0", "1e18", "[7, 5]", "['NA', b]"]),
    st.from_regex(r"\A\[[0-9abNone.,'\" ]{0,8}\]\Z"),
)
missing = st.lists(WORDS, max_size=2, unique=True).map(tuple)
id_parsers = st.one_of(
    st.sampled_from([{}, {"modulus": 1}, {"modulus": 2147483647}]).map(lambda most: {"name": "hexadecimal"} | most),
    st.sampled_from([{}, {"modulus": 97}, {"modulus": 2**32}]).map(lambda most: {"name": "decimal"} | most),
    st.just({"name": "decimal", "modulus": 97, "signed": True}),
    st.fixed_dictionaries(
        {
            "name": st.just("time"),
            "form": st.sampled_from(["seconds", "YYMMDDHH"]),
            "part": st.sampled_from(["hour", "weekday"]),
        }
    ),
)
known = st.one_of(
    st.just({}),
    st.lists(WORDS, min_size=1, max_size=4, unique=True).map(lambda words: {"vocabulary": tuple(words)}),
    st.builds(
        lambda values, unseen, words: {"kept": tuple(sorted(values)), "unseen": unseen, "words": words},
        st.lists(st.integers(0, 9), max_size=4, unique=True),
        st.sampled_from(["missing", "shared"]),
        st.lists(WORDS, max_size=3).map(tuple),
    ),
    id_parsers.map(lambda parser: {"id_parser": parser}),
)
transforms = st.one_of(
    st.sampled_from([{"name": "log1p"}, {"name": "none"}]),
    st.builds(
        lambda mean, std: {"name": "standardize", "mean": mean, "std": std},
        st.floats(-1e6, 1e6) | st.integers(-9, 9),
        st.floats(1e-9, 1e9),
    ),
)


@st.composite
def schemas(draw: st.DrawFn, rows: Sequence[int] = (2, 5, 2**31 - 1)) -> Schema:
    """Schemas of data sets, whose tables have so many rows."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    num_dense = draw(st.integers(0, len(names) - 1))
    columns = st.sampled_from([None, None, "hour", "a", "col\tumn"])
    dense = [DenseFeature(name, draw(transforms), draw(columns), draw(missing)) for name in names[:num_dense]]
    sparse = []
    for name in names[num_dense:]:
        options = draw(known) | {"column": draw(columns), "missing": draw(missing)}
        if draw(st.booleans()):
            options |= {"multi_valued": True, "separator": draw(st.sampled_from([None, "|", " "]))}
        sparse.append(SparseFeature(name, draw(st.sampled_from(rows)), **options))
    return Schema("label", tuple(dense), tuple(sparse), COUNTS)


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
