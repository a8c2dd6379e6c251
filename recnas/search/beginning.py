"""What a search that trains its candidates finds out before the first of them; written down, for `--resume`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from recnas.data.feature_gains import feature_gains
from recnas.data.joint_evidence import ProposedCross, propose_crosses
from recnas.features.schema import Schema
from recnas.runs.folder import BEGINNING
from recnas.search.context import RunContext
from recnas.search.scoring import stage_seed
from recnas.util import forms
from recnas.util.files import read_json, write_json

AT_ONCE = 2
"""Candidates that are trained side by side with a budget in candidates, whatever the number of workers."""
HELPFUL = 5e-3
"""Share of the log loss that a joint id must win to be expected to help: of smaller ones a network learns most."""
ROWS_A_VALUE = 200
"""Training rows for each value of a joint id, on the mean, with which trees may have it."""
MOST_SHARE = 0.1
"""Of a budget in time, for finding joint ids."""


@dataclass(frozen=True)
class Beginning:
    """What a search begins with.

    Attributes:
        joint_ids: Features that may have a joint id, the most promising first.
        helpful: How many of them, the first ones, are expected to help.
        of_trees: Those of them that trees may have.
        helpful_to_trees: How many of these are expected to help.
        at_once: Candidates that are trained side by side.
        droppable: Features that may be dropped, those first that say least of the label.
    """

    joint_ids: tuple[str, ...]
    helpful: int
    of_trees: tuple[str, ...]
    helpful_to_trees: int
    at_once: int
    droppable: tuple[str, ...]


def begin(context: RunContext) -> Beginning:
    """Looks into the training rows for joint ids and for features to drop, or reads what a process before found."""
    file = context.run / BEGINNING
    if file.exists():
        known = read_json(file, form=forms.Beginning)
        return Beginning(
            **{
                item.name: tuple(value) if isinstance(value := known[item.name], list) else value
                for item in fields(Beginning)
            }
        )
    settings, seconds = context.settings, context.settings.limit.seconds
    proposed = propose_crosses(
        context.dataset,
        seconds=None if seconds is None else seconds * MOST_SHARE,
        seed=stage_seed(settings, "joint ids"),
    )
    for item in proposed:
        context.console.say(f"joint id {item.cross}: {item.values:,} values, log loss -{item.gain:.4f} held out")
    at_once = AT_ONCE if seconds is None else settings.processes
    of_trees = [item for item in proposed if item.values * ROWS_A_VALUE <= context.dataset.rows("train")]
    said, gains = settings.inputs.dropped, feature_gains(context.dataset, seed=stage_seed(settings, "features"))
    droppable = droppable_features(context.dataset.own_schema, gains, said)
    found = Beginning(*_listed(proposed), *_listed(of_trees), at_once, droppable)
    told = {
        "gains": [item.gain for item in proposed],
        "values": [item.values for item in proposed],
        "gains_of_droppable": [gains[name] for name in droppable],
    }
    write_json(file, asdict(found) | told)
    return found


def _listed(proposed: Sequence[ProposedCross]) -> tuple[tuple[str, ...], int]:
    """Joint ids, and how many of them are expected to help."""
    return tuple(item.cross for item in proposed), sum(item.share >= HELPFUL for item in proposed)


def droppable_features(own: Schema, gains: Mapping[str, float], said: Sequence[str]) -> tuple[str, ...]:
    """Features that may be dropped, the least useful first: half of them at most, and never all ids.

    Args:
        own: The data set's own schema.
        gains: What features say of the label, the least first; of some it is not known.
        said: Those that are dropped anyway.
    """
    left = [feature.name for feature in (*own.dense, *own.sparse) if feature.name not in said]
    ids = [feature.name for feature in own.sparse if feature.name not in said]
    found = [name for name in gains if name in left][: len(left) // 2]
    if ids and set(ids) <= set(found):
        found.remove(max(ids, key=found.index))
    return tuple(found)
