"""What `recnas.describe` finds in a data set, as a value: printed, written as JSON, shown in a run's report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recnas.features.schema import SPLITS


@dataclass(frozen=True)
class DenseDescription:
    """A number, over all splits.

    Attributes:
        name: Its column.
        transform: What it goes through when it is loaded: `log1p`, `standardize` or `none`.
        minimum, mean, maximum, deviation: Of the numbers as they were given; None where there is none. Of a data set of
            version 3 or less they are those after the transform.
        missing: Share of rows without a number; None: a data set of version 3 or less does not tell.
    """

    name: str
    transform: str
    minimum: float | None
    mean: float | None
    maximum: float | None
    deviation: float | None
    missing: float | None


@dataclass(frozen=True)
class SparseDescription:
    """A sparse feature, over all splits.

    Attributes:
        name: Its column.
        distinct: Different values.
        missing: Share of rows without a value, or with one that has no id of its own (`SparseFeature.kept`).
        table_rows: Rows of its embedding table.
        collisions: Share of the different values that have to share their table row with another one.
        most_frequent: The most frequent values with their share of all values: as they were given where the schema
            knows (`SparseFeature.words`), else the raw 32-bit values.
    """

    name: str
    distinct: int
    missing: float
    table_rows: int
    collisions: float
    most_frequent: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Description:
    """What `describe` found; `str` of it is a table for a terminal.

    Attributes:
        rows: Rows of each split.
        click_rate: Share of rows with label 1 of each split; None where it is empty.
        dense: Each dense feature.
        sparse: Each sparse feature.
    """

    rows: dict[str, int]
    click_rate: dict[str, float | None]
    dense: tuple[DenseDescription, ...]
    sparse: tuple[SparseDescription, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Description:
        """The description that `to_json` gave; a value of another form is a KeyError, TypeError or ValueError."""
        figures = ("minimum", "mean", "maximum", "deviation")
        return cls(
            {split: int(value["rows"][split]) for split in SPLITS},
            {split: None if (rate := value["click_rate"][split]) is None else float(rate) for split in SPLITS},
            tuple(
                DenseDescription(
                    str(item["name"]),
                    str(item["transform"]),
                    *(_number(item[key]) for key in figures),
                    # Of versions before 0.3.0 it is not there.
                    _number(item.get("missing")),
                )
                for item in value["dense"]
            ),
            tuple(
                SparseDescription(
                    str(item["name"]),
                    int(item["distinct"]),
                    float(item["missing"]),
                    int(item["table_rows"]),
                    float(item["collisions"]),
                    tuple((str(name), float(share)) for name, share in item["most_frequent"]),
                )
                for item in value["sparse"]
            ),
        )

    def __str__(self) -> str:
        lines = [
            f"{split:<11} {self.rows[split]:>13,} rows  {rate:>7.2%} clicks"
            for split, rate in self.click_rate.items()
            if rate is not None
        ]
        width = max(len(name) for name in ("sparse", *(item.name for item in (*self.dense, *self.sparse))))
        if self.dense:
            lines += [
                "",
                f"{'dense':<{width}} {'transform':>12} {'min':>9} {'mean':>9} {'max':>9} {'std':>9} {'missing':>8}",
            ]
            lines += [
                " ".join(
                    [
                        f"{item.name:<{width}} {item.transform:>12}",
                        *(_cell(value, ".3g", 9) for value in (item.minimum, item.mean, item.maximum, item.deviation)),
                        _cell(item.missing, ".1%", 8),
                    ]
                )
                for item in self.dense
            ]
        lines += [
            "",
            f"{'sparse':<{width}} {'distinct':>12} {'missing':>8} {'table rows':>12} {'collisions':>10}  most frequent",
        ]
        for item in self.sparse:
            frequent = ", ".join(f"{value} {share:.1%}" for value, share in item.most_frequent)
            lines.append(
                f"{item.name:<{width}} {item.distinct:>12,} {item.missing:>8.1%} {item.table_rows:>12,} "
                f"{item.collisions:>10.1%}  {frequent}"
            )
        return "\n".join(lines)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _cell(value: float | None, form: str, width: int) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"
