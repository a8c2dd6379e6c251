"""What every run says of its data."""

from __future__ import annotations

from typing import Any

from recnas.data import Dataset
from recnas.features.scale import far_out
from recnas.features.schema import SPLITS
from recnas.runs.settings import Settings
from recnas.util.console import Console


def say_rows(console: Console, dataset: Dataset) -> None:
    """How many rows each split has, and which dense features a training will not cope with."""
    console.say(f"data: {', '.join(_counted(dataset, split) for split in SPLITS)} rows")
    for line in far_out(dataset.path, dataset.own_schema):
        console.say(f"data: {line}")


def _counted(dataset: Dataset, split: str) -> str:
    """How many rows a split has, and of how many."""
    rows, there = dataset.rows(split), dataset.own_schema.rows(split)
    return f"{rows:,} {'' if rows == there else f'of {there:,} '}{split}"


def data_entry(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """What `results.json` says of the data."""
    return {
        "path": settings.data,
        "name": dataset.name,
        "rows": {split: dataset.rows(split) for split in SPLITS},
        # Of a large log a run may have learned from a part.
        "of_rows": {split: dataset.own_schema.rows(split) for split in SPLITS},
    }
