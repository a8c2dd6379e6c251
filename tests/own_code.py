"""Modules of a user's own, written where a test works: what a stranger adds without touching the package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODELS = '''
from torch import nn

from recnas.nn.baselines.layers import MLP
from recnas.nn.baselines.registry import baseline


@baseline(title="Sum of fields")
class SumOfFields(nn.Module):
    """A network on the sum of all fields."""

    def __init__(self, num_dense, num_sparse, dim):
        super().__init__()
        self.deep = nn.Sequential(MLP(dim, (64,)), nn.Linear(64, 1))

    def forward(self, dense, fields):
        return self.deep(fields.sum(1)).squeeze(-1)
'''
"""A baseline."""

SPACES = '''
from recnas.space import SearchSpace


def deep_cross():
    """Linear blocks beside one to three cross layers."""
    return SearchSpace.of_operators("deep-cross", ("fc",), ("efc",), {"cross": (1, 2, 3)})
'''
"""A search space."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with modules that are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
