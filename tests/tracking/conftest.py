"""A small data set, and settings of a search that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import recnas.data_prep


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    recnas.data_prep.prepare("synthetic", folder, rows=600, progress=False)
    return folder


@pytest.fixture
def small() -> dict[str, Any]:
    return {
        "proxy": {"score": "jacov", "batch_size": 16},
        "evolution": {"population": 4, "iterations": 0, "tournament": 2, "children": 1},
        "final": {"top_k": 1, "baselines": [], "optimization": {"learning_rate": 0.05}},
    }
