"""A number that is fed as a field, as a value; `recnas.nn.number_fields` computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recnas.features.checks import check_keys, check_list, is_number
from recnas.util.errors import InputError

FIELD, PIECEWISE = "field", "piecewise"
KINDS = (FIELD, PIECEWISE)


@dataclass(frozen=True)
class NumberField:
    """A field that a network computes from a dense feature.

    Attributes:
        dense: The name of the dense feature.
        kind: `field`, a vector times its value; or `piecewise`, a piecewise-linear function of it (Gorishniy et al.
            2022, section 3.2).
        edges: Of `piecewise`, where its pieces begin and end: at least two, ascending, in units of the dense feature.
        missing: The name of the dense feature that says where the number is missing; None: there is none, and a missing
            number is fed as the value that its transform gives it.

    Raises:
        InputError: A value is out of its range.
    """

    dense: str
    kind: str = FIELD
    edges: tuple[float, ...] = ()
    missing: str | None = None

    def __post_init__(self) -> None:
        where = f"the field of {self.dense}"
        if self.kind not in KINDS:
            raise InputError(f"{where}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.kind == FIELD:
            if self.edges:
                raise InputError(f"{where}: only a piecewise-linear one has edges")
            return
        if not all(map(is_number, self.edges)) or len(self.edges) < 2:
            raise InputError(f"{where}: edges must be two finite numbers or more")
        if any(after <= before for before, after in zip(self.edges, self.edges[1:], strict=False)):
            raise InputError(f"{where}: edges must ascend")

    def to_json(self) -> dict[str, Any]:
        """Plain values, always in the same order."""
        edges = {"edges": list(self.edges)} if self.edges else {}
        return {"dense": self.dense, "kind": self.kind} | edges | ({"missing": self.missing} if self.missing else {})

    @classmethod
    def from_json(cls, entry: Any) -> NumberField:
        """Reads what `to_json` wrote.

        Raises:
            InputError: One line that names what does not fit.
        """
        check_keys(entry, "a number field", ("dense", "kind"), ("edges", "missing"))
        values: Mapping[str, Any] = dict(entry)
        if not all(isinstance(values.get(key, ""), str) for key in ("dense", "kind", "missing")):
            raise InputError("a number field has names that are no text")
        return cls(**{**values, "edges": tuple(check_list(values.get("edges", []), "edges"))})
