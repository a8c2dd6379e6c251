"""Modules of a user's own, written where a test works: what a stranger adds without touching the package."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recnas.data_prep import RECIPES
from recnas.space.operators import BRANCHES, OPERATORS
from recnas.util.user_code import is_user_code

MODELS = '''
from torch import nn

from recnas.nn.baselines.layers import MLP
from recnas.nn.baselines.registry import baseline


@baseline(title="Sum of fields")
class SumOfFields(nn.Module):
    """A network on the sum of all fields."""

    def __init__(self, num_dense, num_fields, dim):
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

STRATEGIES = '''
from recnas.candidates.evaluation import Evaluation
from recnas.strategies.base import Strategy


class HillClimbing(Strategy):
    """Two random candidates, then always two children of the best so far."""

    best = None

    def ask(self):
        """Two candidates."""
        draw = self.problem.random if self.best is None else lambda: self.problem.child(self.best.candidate, 1)
        parents = () if self.best is None else (self.best.candidate.id,)
        return [Evaluation(candidate, parents=parents) for candidate in (draw(), draw()) if candidate is not None]

    def tell(self, results):
        """Remembers the best."""
        known = [*results, *([] if self.best is None else [self.best])]
        self.best = max(known, key=lambda result: result.score)
'''
"""A strategy."""

TRAINERS = '''
from recnas.candidates.evaluation import Evaluation
from recnas.strategies.base import Strategy


class OneOfEachKind(Strategy):
    """Trains one candidate of each kind: half of it, and then the rest of the better half of them."""

    trains = True

    def begin(self, problem):
        """Begins with each kind's own candidate."""
        super().begin(problem)
        self.field, self.fidelity = [problem.space.own(kind) for kind in problem.space.kinds], 0.5

    def ask(self):
        """All that are left."""
        return [Evaluation(candidate, self.fidelity) for candidate in self.field]

    def tell(self, results):
        """Drops the worse half."""
        best = sorted(results, key=lambda result: -result.score)[: (len(results) + 1) // 2]
        self.field = [result.candidate for result in best] if self.fidelity < 1 else []
        self.fidelity = 1.0
'''
"""A strategy that trains."""
PROXIES = '''
from recnas.proxies import proxy


@proxy(direction="lower", weights="none", reads="arch")
def blocks_read(inputs):
    """How many inputs the blocks have."""
    return float(sum(len(block.dense_inputs) + len(block.sparse_inputs) for block in inputs.arch.blocks))


@proxy(direction="higher", weights="fresh", reads="gradients")
def steadiness(inputs):
    """How large gradients are, against how much they vary from batch to batch."""
    modules = inputs.gradients.modules
    return sum(module.magnitude for module in modules) / sum(module.deviation for module in modules)


def undeclared(inputs):
    """Says nothing of itself."""
    return 0.0
'''
"""Proxies."""

LOGS = '''
import polars as pl

from recnas.data_prep.recipe import Option, recipe
from recnas.data_prep.tabular import read_tabular


@recipe("our shop's clicks: --input clicks.json", options={"country": Option("of which country alone")})
def read_shop(input, bad_rows, progress, country=None):
    """Clicks of all countries, or of one, by the hour."""
    frame = pl.read_ndjson(input).with_columns(hour=pl.col("time") // 3600 % 24)
    if country is not None:
        frame = frame.filter(pl.col("country") == country)
    return read_tabular(frame, bad_rows, progress, label="clicked", dense=["price"], sparse=["user", "hour"])
'''
"""A data recipe."""


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Makes a folder the working directory, and forgets its modules afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        try:
            yield
        finally:
            forget_modules_of(folder)


def forget_modules_of(folder: Path) -> None:
    """Forgets what has been imported from a folder, and what that has declared."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{folder}{os.sep}"):
            del sys.modules[name]
    for declared in (RECIPES, OPERATORS, BRANCHES):
        for name in [name for name in declared if is_user_code(name)]:
            del declared[name]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """The working directory, with modules that are forgotten afterwards."""
    with working_in(tmp_path):
        yield tmp_path
