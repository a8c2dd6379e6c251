"""Tables of trained candidates whose outcomes are made up, so that nothing is trained."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recnas.bench.columns import FORMAT, KEY
from recnas.bench.space import TableSpace
from recnas.bench.table import Table
from recnas.candidates.defaults import DEFAULT_INPUTS, DEFAULT_RECIPE
from recnas.candidates.recipe_choices import RECIPE_CHOICES

FIDELITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NOISE = 0.001


def space_of(families: tuple[str, ...] = (), space: str | None = "nasrec-small") -> TableSpace:
    """Architectures of one recipe, or recipes of families."""
    no_choice = tuple(RECIPE_CHOICES) if space is not None else ()
    return TableSpace(families, space, (), (), no_choice, DEFAULT_RECIPE.to_json(), DEFAULT_INPUTS.to_json())


def made_up(count: int, space: TableSpace, seeds: int = 2, seed: int = 0, noise: float = NOISE) -> Table:
    """A table whose losses are a sum over a candidate's numbers, and noise of each training."""
    joint, rng = space.joint, random.Random(seed)
    weights = np.random.default_rng(seed).normal(size=len(joint.encode(joint.draw(rng))))
    candidates: dict[str, Any] = {}
    while len(candidates) < count:
        candidate = joint.draw(rng)
        candidates.setdefault(candidate.id, candidate)
    lines = []
    for name, candidate in candidates.items():
        value = float(np.dot(weights, joint.encode(candidate)))
        for which in range(seeds):
            loss = 0.5 + 0.004 * value + rng.gauss(0.0, noise)
            curve = [loss + 0.02 * (1 - fidelity) for fidelity in FIDELITIES]
            lines.append(
                {
                    "id": name,
                    "candidate": json.dumps(candidate.to_json()),
                    "seed": which,
                    "macs": 1000 + len(name),
                    "parameters": 100,
                    "latency_ms": 1.0,
                    "seconds": 10.0,
                    "diverged": None,
                    "validation_log_loss": loss,
                    "validation_auc": 0.7,
                    "test_log_loss": loss + rng.gauss(0.0, noise / 10),
                    "test_auc": 0.7,
                    "stop_fidelity": np.array(FIDELITIES, dtype=np.float32),
                    "stop_rows": np.array([round(fidelity * 5000) for fidelity in FIDELITIES]),
                    "stop_seconds": np.array([10 * fidelity for fidelity in FIDELITIES]),
                    "stop_planned": np.array([True] * len(FIDELITIES)),
                    "stop_validation_log_loss": np.array(curve),
                    "stop_validation_auc": np.full(len(FIDELITIES), 0.7),
                    "stop_test_log_loss": np.array(curve),
                    "stop_test_auc": np.full(len(FIDELITIES), 0.7),
                }
            )
    about = {
        "format": FORMAT,
        "data": "made-up",
        "rows": {"train": 1000, "validation": 100, "test": 100},
        "positive_rate": 0.5,
        "varies": "networks" if space.space is not None else "recipes",
        "space": space.to_json(),
        "settings": {"limits": {"max_macs": None}},
        "seeds": seeds,
        "created": "2026-01-01T00:00:00+00:00",
        "machine": {"processor": "none", "cores": 1},
        "recnas": "0",
    }
    return Table(pd.DataFrame(lines), about)


def save(table: Table, file: Path) -> None:
    """Writes a table as `recnas bench pack` does."""
    columns = pa.Table.from_pandas(table.frame, preserve_index=False)
    pq.write_table(columns.replace_schema_metadata({KEY: json.dumps(table.about).encode()}), file)
