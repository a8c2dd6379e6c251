"""What each column of a user's table is for: as the user says, or as its name and a sample of its values suggest."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from data_prep.rows import unnamed
from recnas.errors import InputError
from recnas.schema import WHOLE_NUMBER
from recnas.values import Reader, as_text, read_labels, read_numbers, read_times

SAMPLE_ROWS = 10_000
TRANSFORMS = ("log1p", "standardize", "none")
LABEL_NAMES = ("label", "click", "clicked", "is_click", "target", "y")
TIME_NAMES = ("time", "timestamp", "date", "datetime")
ID_WORDS = frozenset(("id", "ids", "code", "zip", "zipcode", "hash", "category", "uuid", "key"))
# They end in "id" and are numbers.
_NO_IDS = ("bid", "paid", "grid", "valid", "void")
FEW_VALUES = 20
# Of fewer rows, all may well differ by chance.
_MIN_ROWS_OF_ROW_ID = 100
_EXAMPLES = 3
LEFT_OUT = "left out"


@dataclass(frozen=True)
class Roles:
    """The columns that are used, and what for.

    Args:
        label: 0 or 1.
        dense: numbers, each with its transform.
        sparse: ids.
        multi: lists of ids.
        time: when the row was, for a split by time; it may be a feature as well.
        time_is_guessed: nobody named it, so it may be missing as long as nobody needs it.
    """

    label: str
    dense: Mapping[str, str]
    sparse: Sequence[str]
    multi: Sequence[str] = ()
    time: str | None = None
    time_is_guessed: bool = False

    @property
    def columns(self) -> list[str]:
        """All columns that are used, each once."""
        times = [] if self.time is None else [self.time]
        return list(dict.fromkeys([self.label, *self.dense, *self.sparse, *self.multi, *times]))


@dataclass
class Plan:
    """Roles and, for the user to look at, why.

    Args:
        inferred: Whether any role was inferred.
        reasons: Role and reason of each column in the table's order, if so.

    Attributes:
        roles: What was decided.
    """

    inferred: bool
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)
    roles: Roles = field(init=False)

    def __str__(self) -> str:
        rows = [("column", "role", "why"), *((name, *about) for name, about in self.reasons.items())]
        widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
        return "\n".join(f"{name:<{widths[0]}}  {role:<{widths[1]}}  {why}" for name, role, why in rows)


def plan_roles(
    sample: pl.DataFrame,
    label: str | None = None,
    dense: Sequence[str] | None = None,
    sparse: Sequence[str] | None = None,
    multi: Sequence[str] | None = None,
    time: str | None = None,
    transform: str = "standardize",
) -> Plan:
    """The roles that the user gave, completed.

    When `dense`, `sparse` or `multi` is given, only the columns named there are features. Otherwise, by a sample:

    - The label is the first of `LABEL_NAMES`, however it is written, that holds only 0 and 1.
    - Dates, and numbers of a column called as in `TIME_NAMES`, are the time; it is no feature.
    - Lists are lists of ids. Truth values and text are ids. Numbers with fractions are dense.
    - Whole numbers are ids if the name says so (`user_id`, `zip code`, `itemid`; see `ID_WORDS`) or if there are at
      most 20 different ones, else dense. Text like 05201 is no number.
    - Left out are columns without values, with one value only, and ids of which no two in 100 or more rows are equal.

    Args:
        sample: The table's first rows, at most `SAMPLE_ROWS`, all columns.
        label: The label's column.
        dense: Columns of numbers, each NAME or NAME:TRANSFORM.
        sparse: Columns of ids.
        multi: Columns of lists of ids.
        time: The column of times.
        transform: Of the dense columns that have none of their own.

    Raises:
        InputError: A column is not there or has two roles, the label cannot be inferred, there is no id.
    """
    columns = [name for name in sample.columns if name]
    if transform not in TRANSFORMS:
        raise InputError(f"--transform {transform} is none of {', '.join(TRANSFORMS)}")
    transforms = [_name_and_transform(text, columns, transform) for text in dense or ()]
    features = {"dense": [name for name, _ in transforms], "sparse": list(sparse or ()), "multi": list(multi or ())}
    _check(columns, {"label": [] if label is None else [label]} | features, time)
    only_named = any(names is not None for names in (dense, sparse, multi))
    plan = Plan(inferred=label is None or not only_named)
    named = {name: role for role, names in features.items() for name in names}
    if time is not None:
        named.setdefault(time, "time")
    if label is None:
        label = _infer_label(sample, named)
        plan.reasons[label] = ("label", "only 0 and 1")
    else:
        named[label] = "label"
    guessed_time = None
    for name in columns if plan.inferred else ():
        if name in named:
            plan.reasons[name] = (named[name], "named so")
        elif name == label:
            continue
        elif only_named:
            plan.reasons[name] = (LEFT_OUT, "not named")
        else:
            plan.reasons[name] = _infer(name, unnamed(sample[name]), time or guessed_time)
            role = plan.reasons[name][0]
            if role == "time":
                guessed_time = name
            elif role != LEFT_OUT:
                features[role].append(name)
    plan.reasons = {name: plan.reasons[name] for name in columns if name in plan.reasons}
    transform_of = dict(transforms)
    plan.roles = Roles(
        label,
        {name: transform_of.get(name, transform) for name in features["dense"]},
        tuple(features["sparse"]),
        tuple(features["multi"]),
        time or guessed_time,
        time_is_guessed=guessed_time is not None,
    )
    if not plan.roles.sparse and not plan.roles.multi:
        raise InputError(f"no column is an id, a model needs one; name it with --sparse, of {_listed(columns)}")
    return plan


def _name_and_transform(text: str, columns: Sequence[str], default: str) -> tuple[str, str]:
    if text in columns or ":" not in text:
        return text, default
    name, _, transform = text.rpartition(":")
    if transform not in TRANSFORMS:
        raise InputError(f"--dense {text}: {transform!r} is none of {', '.join(TRANSFORMS)}")
    return name, transform


def _check(columns: Sequence[str], named: Mapping[str, Sequence[str]], time: str | None) -> None:
    """Raises InputError if a name is not there or is there twice; a time may be a feature too."""
    role_of: dict[str, str] = {}
    for role, names in [*named.items(), ("time", [] if time is None else [time])]:
        for name in names:
            if name not in columns:
                raise InputError(f"--{role} {name}: there is no such column; there are {_listed(columns)}")
            if (role != "time" and name in role_of) or role_of.get(name) == "label":
                raise InputError(f"--{role} {name}: the column is in --{role_of[name]} already; name it once")
            role_of[name] = role


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:40])
    return f"{shown} and {len(columns) - 40} more" if len(columns) > 40 else shown


def _infer_label(sample: pl.DataFrame, taken: Container[str]) -> str:
    free = {name.lower(): name for name in reversed(sample.columns) if name not in taken}
    for wanted in LABEL_NAMES:
        name = free.get(wanted)
        if name is not None and _reads(read_labels, sample[name]):
            return name
    raise InputError(
        f"no column is named {', '.join(LABEL_NAMES)} and holds only 0 and 1; name the label with --label, "
        f"of {_listed(sample.columns)}"
    )


def _infer(name: str, column: pl.Series, time: str | None) -> tuple[str, str]:
    """Role and reason of a column by its name and its values; `time`: the column of times, if there is one."""
    kind, num_rows = column.dtype, len(column)
    if kind in (pl.List, pl.Array):
        return "multi", "lists"
    if kind == pl.Object:
        column = pl.Series(column.name, [as_text(value) for value in column], dtype=pl.String)
    elif kind != pl.Null and not (kind.is_numeric() or kind in _OTHER_TYPES):
        return LEFT_OUT, f"holds {kind}"
    values = column.drop_nulls()
    if values.dtype.is_float():
        values = values.drop_nans()
    elif values.dtype == pl.String:
        values = values.filter(values != "")
    if not len(values):
        return LEFT_OUT, f"no value in {num_rows:,} rows"
    different = values.unique(maintain_order=True)
    seen = ", ".join(str(value)[:20] for value in different.head(_EXAMPLES)) + " …" * (len(different) > _EXAMPLES)
    if len(different) == 1 and len(values) == num_rows:
        return LEFT_OUT, f"always {seen}"
    number = _number_kind(different)
    if _is_time(name, different, number):
        if time is not None:
            return LEFT_OUT, f"another time: {seen}"
        return "time", f"for --split time, no feature: {seen}"
    if number == "fractions":
        return "dense", f"numbers: {seen}"
    if number == "whole" and not _is_id(name) and len(different) > FEW_VALUES:
        return "dense", f"{len(different):,} different whole numbers: {seen}"
    if len(different) == num_rows >= _MIN_ROWS_OF_ROW_ID:
        return LEFT_OUT, f"no two of {num_rows:,} are equal: {seen}"
    return "sparse", f"{len(different):,} different {'whole numbers' if number else 'values'}: {seen}"


_OTHER_TYPES = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Date, pl.Datetime)


def _number_kind(values: pl.Series) -> str | None:
    """Whether values are "whole" numbers, some have "fractions", or they are none (None)."""
    kind = values.dtype
    if kind.is_integer():
        return "whole"
    if kind.is_float():
        return "whole" if (values == values.floor()).all() else "fractions"
    if kind.is_numeric():
        return "fractions"
    if kind != pl.String:
        return None
    if values.str.contains(f"^(?:{WHOLE_NUMBER.pattern})$").all():
        return "whole"
    return "fractions" if _reads(read_numbers, values) and not values.str.contains(r"^\s*[+-]?0\d").any() else None


def _is_time(name: str, values: pl.Series, number: str | None) -> bool:
    if values.dtype.is_temporal():
        return True
    if not (values.dtype == pl.String or values.dtype.is_numeric()):
        return False
    if number:
        return name.lower() in TIME_NAMES
    # Text such as 05201 could be read as a number.
    return not values.cast(pl.Float64, strict=False).is_not_null().any() and _reads(read_times, values)


def _is_id(name: str) -> bool:
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    if ID_WORDS & set(re.split(r"[^a-z]+", words.lower())):
        return True
    return name.lower().endswith("id") and not name.lower().endswith(_NO_IDS)


def _reads(read: Reader, values: pl.Series) -> bool:
    return read(values)[1] is None
