"""What each column of a user's table is for: as the user says, or as its name and a sample of its values suggest."""

import shlex
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from recnas.data_prep.inference import LEFT_OUT, Judgement, judge, row_index
from recnas.data_prep.label_words import read_labels
from recnas.data_prep.labels import LabelRule, label_rule, plain_rule, refusal
from recnas.data_prep.sample import Sample
from recnas.util.errors import InputError

TRANSFORMS = ("log1p", "standardize", "none")
MOST_SHOWN, SHOWN = 60, 15
"""Columns up to which each is shown with its role; of more, so many of each role."""
LABEL_NAMES = ("label", "click", "clicked", "is_click", "target", "y")


@dataclass(frozen=True)
class Named:
    """What the user says of the columns.

    Args:
        label: The label's column.
        positive: The label's values that are a click.
        dense: Columns of numbers, each NAME or NAME:TRANSFORM.
        sparse: Columns of ids.
        multi: Columns of lists of ids.
        time: The column of times.
        transform: Of the dense columns that have none of their own.
    """

    label: str | None = None
    positive: Sequence[str] | None = None
    dense: Sequence[str] | None = None
    sparse: Sequence[str] | None = None
    multi: Sequence[str] | None = None
    time: str | None = None
    transform: str = "standardize"


@dataclass(frozen=True)
class Roles:
    """The columns that are used, and what for.

    Args:
        label: 0 or 1.
        rule: how the label is read.
        dense: numbers, each with its transform.
        sparse: ids.
        multi: lists of ids.
        time: when the row was, for a split by time; it may be a feature as well.
        time_is_guessed: nobody named it, so it may be missing as long as nobody needs it.
    """

    label: str
    rule: LabelRule
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
        unsure: The columns that are taken as ids only for want of a reason against it.
        notes: What should be known even if all was named, a sentence each.

    Attributes:
        roles: What was decided.
    """

    inferred: bool
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    roles: Roles = field(init=False)

    def __str__(self) -> str:
        if not self.inferred:
            return "\n".join(self.notes)
        rows = [("column", "role", "why"), *((name or "(unnamed)", *about) for name, about in self._shown())]
        widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
        table = [f"{name:<{widths[0]}}  {role:<{widths[1]}}  {why}" for name, role, why in rows]
        notes = list(self.notes)
        if left := len(self.reasons) - len(rows) + 1:
            table.append(f"… and {left:,} more, of roles that are above")
        if self.unsure:
            more = f" and {len(self.unsure) - SHOWN:,} more" if len(self.unsure) > SHOWN else ""
            notes.append(
                f"Not sure of {', '.join(self.unsure[:SHOWN])}{more}: taken as ids, which costs little, as nothing is "
                "certain; quantities go to --dense"
            )
        if not left:
            notes.append(f"The same as flags, to be changed: {self._flags()}")
        return "\n".join([*table, "", *notes])

    def _shown(self) -> list[tuple[str, tuple[str, str]]]:
        """All columns, or of many the first ones of each role, in the table's order."""
        if len(self.reasons) <= MOST_SHOWN:
            return list(self.reasons.items())
        seen: Counter[str] = Counter()
        shown = []
        for name, (role, why) in self.reasons.items():
            seen[role] += 1
            if seen[role] <= SHOWN:
                shown.append((name, (role, why)))
        return shown

    def _flags(self) -> str:
        roles = self.roles
        flags = ["--label", roles.label]
        if roles.rule.positive is not None and roles.rule.negative is None:
            flags += ["--positive", *roles.rule.positive]
        dense = [name if kind == Named.transform else f"{name}:{kind}" for name, kind in roles.dense.items()]
        for flag, names in (("--dense", dense), ("--sparse", roles.sparse), ("--multi", roles.multi)):
            flags += [flag, *names] if names else []
        return shlex.join([*flags, *(["--time", roles.time] if roles.time is not None else [])])


def plan_roles(sample: Sample, named: Named, skips: bool = False) -> Plan:
    """The roles that the user gave, completed.

    When `dense`, `sparse` or `multi` is given, only the columns named there are features. Otherwise, by a sample:

    - The label is the first of `LABEL_NAMES`, however it is written, that holds only 0 and 1, or two values of which
      one is plainly the click.
    - Dates, and numbers of a column called as in `TIME_NAMES`, are the time; it is no feature.
    - A row's index is left out: what pandas writes as one, columns without a name, whole numbers that never repeat.
    - Lists are lists of ids. Truth values and text are ids. Numbers with fractions are dense.
    - Whole numbers are ids if there are at most 20 different ones; else as their name says (`recnas.data_prep.names`)
      and as clicks tell (`recnas.data_prep.signal`), and ids if neither says anything. Text like 05201 is no number.
    - Left out are columns without values, with one value only, of a type that cannot be a feature, and ids of which
      no two in 100 or more rows are equal.

    Args:
        sample: The table's first rows, all columns.
        named: What the user gave.
        skips: Whether bad rows are set aside.

    Raises:
        InputError: A column is not there or has two roles, the label cannot be inferred or read, there is no id.
    """
    columns = sample.frame.columns
    only_named = any(names is not None for names in (named.dense, named.sparse, named.multi))
    plan = Plan(inferred=named.label is None or not only_named)
    if not len(sample.frame) and (plan.inferred or not columns):
        raise InputError(f"{sample.misfit}; no line of the first ones is a good row, so that nothing can be inferred")
    if named.transform not in TRANSFORMS:
        raise InputError(f"--transform {named.transform} is none of {', '.join(TRANSFORMS)}")
    known = frozenset(columns)
    transforms = [_name_and_transform(text, known, named.transform) for text in named.dense or ()]
    features = {
        "dense": [name for name, _ in transforms],
        "sparse": list(named.sparse or ()),
        "multi": list(named.multi or ()),
    }
    _check(
        [name for name in columns if name],
        {"label": [] if named.label is None else [named.label]} | features,
        named.time,
    )
    role_of = {name: role for role, names in features.items() for name in names}
    for role in ("dense", "sparse"):
        plan.notes += [
            f"--{role} {name} looks like {index}: it may give the label away, and is unknown for new rows"
            for name in features[role]
            if (index := row_index(sample, name))
        ]
    if named.time is not None:
        role_of.setdefault(named.time, "time")
    if named.label is None:
        label, rule = _infer_label(sample.frame, role_of, named.positive)
        plan.reasons[label] = ("label", str(rule))
    else:
        label, rule = named.label, label_rule(named.label, sample.frame[named.label], named.positive, skips)
        role_of[label] = "label"
        if rule.positive is not None and named.positive is None:
            plan.notes.append(f"--label {label}: {rule} (--positive says otherwise)")
    guessed_time = None
    if plan.inferred:
        plan.reasons |= {name: (role, "named so") for name, role in role_of.items()}
        rest = [name for name in columns if name not in plan.reasons]
        if only_named:
            plan.reasons |= dict.fromkeys(rest, (LEFT_OUT, "not named"))
        else:
            labels = read_labels(sample.frame[label], rule.positive, rule.negative)[0]
            for name, judgement in _judged(sample, rest, named.time, labels).items():
                plan.reasons[name] = (judgement.role, judgement.why)
                if judgement.role == "time":
                    guessed_time = name
                elif judgement.role != LEFT_OUT:
                    features[judgement.role].append(name)
                if judgement.unsure:
                    plan.unsure.append(name)
    plan.reasons = {name: plan.reasons[name] for name in columns if name in plan.reasons}
    transform_of = dict(transforms)
    plan.roles = Roles(
        label,
        rule,
        {name: transform_of.get(name, named.transform) for name in features["dense"]},
        tuple(features["sparse"]),
        tuple(features["multi"]),
        named.time or guessed_time,
        time_is_guessed=guessed_time is not None,
    )
    if not plan.roles.sparse and not plan.roles.multi:
        raise InputError(f"no column is an id, a model needs one; name it with --sparse, of {_listed(columns)}")
    return plan


def _judged(sample: Sample, names: Sequence[str], time: str | None, labels: pl.Series) -> dict[str, Judgement]:
    """Columns that nobody named; the first of times, if nobody named one, is the time."""
    judgements: dict[str, Judgement] = {}
    for name in names:
        judgements[name] = judge(sample, name, time, labels)
        if judgements[name].role == "time":
            time = name
    return judgements


def _name_and_transform(text: str, columns: Container[str], default: str) -> tuple[str, str]:
    if text in columns or ":" not in text:
        return text, default
    name, _, transform = text.rpartition(":")
    if transform not in TRANSFORMS:
        raise InputError(f"--dense {text}: {transform!r} is none of {', '.join(TRANSFORMS)}")
    return name, transform


def _check(columns: Sequence[str], named: Mapping[str, Sequence[str]], time: str | None) -> None:
    """Raises InputError if a name is not there or is there twice; a time may be a feature too."""
    role_of: dict[str, str] = {}
    known = frozenset(columns)
    for role, names in [*named.items(), ("time", [] if time is None else [time])]:
        for name in names:
            if name not in known:
                raise InputError(f"--{role} {name}: there is no such column; there are {_listed(columns)}")
            if (role != "time" and name in role_of) or role_of.get(name) == "label":
                raise InputError(f"--{role} {name}: the column is in --{role_of[name]} already; name it once")
            role_of[name] = role


def _listed(columns: Sequence[str]) -> str:
    columns = [name for name in columns if name]
    shown = ", ".join(columns[:40])
    return f"{shown} and {len(columns) - 40} more" if len(columns) > 40 else shown


def _infer_label(sample: pl.DataFrame, taken: Container[str], positive: Sequence[str] | None) -> tuple[str, LabelRule]:
    free = {name.lower(): name for name in reversed(sample.columns) if name not in taken}
    usual = [free[wanted] for wanted in LABEL_NAMES if wanted in free]
    for name in usual:
        if (rule := plain_rule(sample[name], positive)) is not None:
            return name, rule
    about = f"; {usual[0]} {refusal(sample[usual[0]])}" if usual else ""
    raise InputError(
        f"no column is named {', '.join(LABEL_NAMES)} and holds only 0 and 1; name the label with --label, "
        f"of {_listed(sample.columns)}{about}"
    )
