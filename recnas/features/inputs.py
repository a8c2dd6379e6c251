"""What a candidate is fed of a data set, as a value: which features, how numbers are encoded, which joint ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recnas.util.errors import InputError
from recnas.util.plain_values import from_plain, without_defaults
from recnas.util.setting import setting

NUMBERS = ("columns", "field", "bins", "piecewise", "missing")
"""Ways in which numbers may be fed, several at once; see `Inputs`."""
MOST_PARTS = 3
"""Features of a joint id."""
ID_DIGITS = 8


@dataclass(frozen=True)
class Inputs:
    """What of a data set a network is fed; by default the data set as it is.

    Numbers may be fed as dense `columns`; as a `field` each, a vector times the number; by `bins`, each of which has an
    embedding: up to `bins` distinct values are one each, of more the frequent ones are alone and the others share by
    quantile; `piecewise` linearly (Gorishniy et al. 2022, section 3.2) over `pieces` such bins, as a field; and
    with a column that says where they are `missing`. A joint id is one id for the values of two or three features
    together (Luo et al. 2019, "AutoCross"). Features that are `dropped` are not fed themselves, in no way; a joint id
    may be made of their values all the same.

    Raises:
        InputError: A value is out of its range.
    """

    numbers: tuple[str, ...] = setting(
        ("columns",), flag="--numbers", help=f"how numbers are fed, of {', '.join(NUMBERS)}; several at once"
    )
    bins: int = setting(255, help="most bins of a number, 16 to 1024")
    pieces: int = setting(64, help="most pieces of the piecewise-linear encoding of a number, 8 to 1024")
    crosses: tuple[str, ...] = setting(
        (),
        flag="--cross",
        help="features that have a joint id, such as month:day; numbers count by their bins",
    )
    cross_rows: int = setting(1_000_000, flag="--cross-rows", help="most values of a joint id that have a row each")
    min_count: int = setting(
        1, flag="--min-count", help="training rows in which an id is seen before it has an embedding of its own"
    )
    dropped: tuple[str, ...] = setting(
        (), flag="--drop", help="features of the data set that are not fed; joint ids may be made of them all the same"
    )

    def __post_init__(self) -> None:
        for name in self.numbers:
            if name not in NUMBERS:
                raise InputError(f"numbers cannot be fed as {name!r}; --numbers takes {', '.join(NUMBERS)}")
        for name, least, most in (
            ("bins", 16, 1024),
            ("pieces", 8, 1024),
            ("cross_rows", 1, 2**31 - 3),
            ("min_count", 1, 2**31),
        ):
            if not least <= (value := getattr(self, name)) <= most:
                raise InputError(f"{name} is {value}; it must be from {least} to {most}")
        for cross in self.crosses:
            parts = cross.split(":")
            if not 2 <= len(parts) <= MOST_PARTS or "" in parts or len(set(parts)) < len(parts):
                raise InputError(f"a joint id of {cross!r} cannot be; name two or three features, as in month:day")
        if "" in self.dropped:
            raise InputError("a feature that is dropped has no name; --drop takes names of features")
        # One value, however it was written.
        object.__setattr__(self, "numbers", tuple(name for name in NUMBERS if name in self.numbers))
        object.__setattr__(self, "crosses", tuple(dict.fromkeys(self.crosses)))
        object.__setattr__(self, "dropped", tuple(sorted(set(self.dropped))))

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that name it."""
        text = json.dumps(self.to_json(), separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    @property
    def as_prepared(self) -> bool:
        """Whether the data set is fed as it is."""
        return not self.to_json()

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is as by default is left out."""
        return without_defaults(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Inputs:
        """Reads what `to_json` wrote.

        Raises:
            InputError: A value is unknown or out of its range.
        """
        return from_plain(cls, values, "inputs")


AS_PREPARED = Inputs()
"""The data set as it is."""
