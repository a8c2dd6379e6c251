"""What a model is fed, as lines of Python: made of the numbers and ids that a project's other files read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recnas.export.python_text import Call, call, literal
from recnas.features.feature import MISSING_INDICATOR, DenseFeature, SparseFeature
from recnas.features.fed import needs_raw_numbers
from recnas.features.schema import Schema

_TRANSFORMS = {"none": "unchanged", "standardize": "standardized", "log1p": "log1p", MISSING_INDICATOR: "missing"}


class _Named:
    """Features that are read, by name: those that have it as their own, and others at some place in `schema.json`.

    Args:
        own: The former.
        what: What features have alike that are read together.
    """

    def __init__(self, own: Mapping[str, Any], what: Callable[[Any], Any]) -> None:
        self.features, self.places, self._what = dict(own), {}, what

    def name(self, feature: Any, wanted: str, place: str) -> str:
        """The name of a feature at a place, which may be the wanted one."""
        known = [wanted] if wanted in self.features else []
        for name in (*known, *self.places):
            if self._what(self.features[name]) == self._what(feature):
                return name
        number, name = 2, wanted
        while name in self.features:
            number, name = number + 1, f"{wanted} {number}"
        self.features[name], self.places[name] = feature, place
        return name


class FeaturesCode:
    """The features of a schema, written out.

    Args:
        schema: The features.

    Attributes:
        numbers: The numbers that are read, by the names of the data set's.
        bins: The bins.
        ids: The ids that are read.
        dense: The lines of dense features.
        sparse: The lines of sparse features.
        needs_raw_numbers: Whether a data set must have numbers as they were given.
        uses: The helpers that these need; `kept` where ids are kept, `number` where dense features share a number.
    """

    def __init__(self, schema: Schema) -> None:
        plain = [feature for feature in schema.sparse if not feature.joint]
        self.numbers = _Named({item.name: item for item in schema.dense if item.number is None}, _number_read)
        self.bins = _Named({item.name: item for item in plain if item.number is not None}, _itself)
        self.ids = _Named({item.name: item for item in plain if item.number is None}, _itself)
        self.uses: set[str] = set()
        self.needs_raw_numbers = needs_raw_numbers(schema) is not None
        self.dense = [
            line for place, feature in enumerate(schema.dense) for line in self._dense(feature, f"DENSE[{place}]")
        ]
        self.sparse = [
            line for place, feature in enumerate(schema.sparse) for line in self._sparse(feature, f"SPARSE[{place}]")
        ]

    @property
    def has_lists(self) -> bool:
        """Whether there are lists of ids."""
        return any(feature.multi_valued for feature in self.ids.features.values())

    @property
    def keeps_ids(self) -> bool:
        """Whether there are ids, beside joint ones, of which some are kept."""
        return any(feature.kept is not None for feature in self.ids.features.values())

    @property
    def sparse_from(self) -> list[str]:
        """What sparse features are made of, `numbers` or `ids`."""
        return [name for name, read in (("numbers", self.bins), ("ids", self.ids)) if read.features]

    def _dense(self, feature: DenseFeature, place: str) -> list[str]:
        function = _TRANSFORMS[feature.transform["name"]]
        self.uses |= {function} | (set() if feature.number is None else {"number"})
        options = [f"{key}={feature.transform[key]!r}" for key in ("mean", "std") if key in feature.transform]
        return _element(Call(function, [self._number(feature, feature.number_name, place), *options]))

    def _sparse(self, feature: SparseFeature, place: str) -> list[str]:
        if not feature.joint:
            return _element(self._single(feature, place))
        self.uses |= {"joint"} | ({"kept"} if feature.kept is not None else set())
        parts = [self._single(part, f'{place}["joint"][{number}]') for number, part in enumerate(feature.joint)]
        return _element(Call("joint", [literal(feature.name), *parts]))

    def _single(self, feature: SparseFeature, place: str) -> Call:
        """What gives the table rows of a feature that is no joint id."""
        if feature.number is None:
            self.uses |= {"kept"} if feature.kept is not None else set()
            return Call("ids", [literal(self.ids.name(feature, feature.name, place))])
        self.uses.add("bins")
        name = literal(self.bins.name(feature, feature.name, place))
        return Call("bins", [name, self._number(feature, feature.number, place)])

    def _number(self, feature: DenseFeature | SparseFeature, called: str, place: str) -> Call:
        return Call("numbers", [literal(self.numbers.name(feature, called, place))])


def _element(made: Call) -> list[str]:
    """An element of a list."""
    return call(f"{made.function}(", made.arguments, "),")


def _itself(feature: SparseFeature) -> SparseFeature:
    return feature


def _number_read(feature: DenseFeature | SparseFeature) -> tuple[Any, ...]:
    """What says how a number is read."""
    called = feature.number_name if isinstance(feature, DenseFeature) else feature.number
    return called, feature.column, feature.missing
