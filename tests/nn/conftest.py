"""Networks worth comparing: every parameter away from its start value, and spaces of every odd shape."""

import random
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import nn
from torchrec import KeyedJaggedTensor

from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.space import SearchSpace
from recnas.space.choices import NOTHING, BlockChoices, OneOf, OneOperator, Subset
from recnas.space.operators import BRANCHES

DENSE_OPERATORS = ("fc", "dot-product", "gating", "sum", "factorized", "mask")
SPARSE_OPERATORS = ("efc", "attention")
# With E = 16: 16 spares Dot-Product its dense reduction and FM its layer, 128 the merger its layer; 21 is the number
# of products of six fields and one vector.
DENSE_WIDTHS = (16, 21, 24, 32, 128)
SPARSE_WIDTHS = (6, 8, 16)


def _some(rng: random.Random, options: Sequence, at_most: int) -> tuple:
    """One to `at_most` of the options, in their order."""
    chosen = set(rng.sample(options, rng.randint(1, at_most)))
    return tuple(option for option in options if option in chosen)


def _space(rng: random.Random) -> SearchSpace:
    blocks = []
    for index in range(1, rng.randint(1, 4) + 1):
        earlier = range(index)
        dense_operators = _some(rng, DENSE_OPERATORS, 4)
        operands = {"gating", "sum", "mask"} & set(dense_operators)
        pools = [_some(rng, earlier, index) for _ in range(4)]
        counts = []
        for pool in pools[:2]:
            low = rng.randint(1, len(pool))
            counts.append(range(low, rng.randint(low, len(pool)) + 1))
        blocks.append(
            BlockChoices(
                dense_operators=OneOperator(dense_operators),
                sparse_operators=OneOperator(_some(rng, SPARSE_OPERATORS, 2)),
                dense_width=OneOf(_some(rng, DENSE_WIDTHS, rng.choice((1, 2, 5)))),
                sparse_width=OneOf(_some(rng, SPARSE_WIDTHS, rng.choice((1, 3)))),
                dense_inputs=Subset(pools[0], counts[0]),
                sparse_inputs=Subset(pools[1], counts[1]),
                left=OneOf(pools[2]) if operands else NOTHING,
                right=OneOf(pools[3]) if operands else NOTHING,
                dense_to_sparse=OneOf(rng.choice(((False,), (True,), (False, True)))),
                fm=OneOf(rng.choice(((False,), (True,), (False, True)))),
            )
        )
    branches = {name: OneOf(rng.choice(((0,), (2,), (0, 1, 3)))) for name in rng.sample(sorted(BRANCHES), 2)}
    return SearchSpace("odd", tuple(blocks), branches)


@pytest.fixture(scope="session")
def odd_space() -> Callable[[random.Random], SearchSpace]:
    """Draws a space of one to four narrow blocks, many of whose choices are fixed."""
    return _space


@pytest.fixture(scope="session")
def shake() -> Callable[[nn.Module, int], nn.Module]:
    """Moves every parameter, so that no weight of one and no bias of zero hides a mistake."""

    @torch.no_grad()
    def move(module: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        return module

    return move


@pytest.fixture
def double() -> Iterator[None]:
    """Everything new is in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Three single-valued features and two multi-valued ones; the smallest table has three rows."""
    return Schema(
        label="click",
        dense=(),
        sparse=(
            SparseFeature("user", 40),
            SparseFeature("tags", 9, pooling="mean", multi_valued=True),
            SparseFeature("gender", 3),
            SparseFeature("item.id", 25),
            SparseFeature("words", 12, pooling="sum", multi_valued=True),
        ),
        splits={split: {"rows": 10, "positives": 3} for split in SPLITS},
    )


@pytest.fixture
def lookups(schema: Schema) -> Callable[..., tuple[list[list[list[int]]], KeyedJaggedTensor]]:
    """Draws ids for `rows` examples: by feature and example, and as the tensor that models take."""

    def draw(rows: int, seed: int = 0) -> tuple[list[list[list[int]]], KeyedJaggedTensor]:
        rng = random.Random(seed)
        ids = [
            [
                [rng.randrange(feature.rows) for _ in range(rng.randint(1, 4) if feature.multi_valued else 1)]
                for _ in range(rows)
            ]
            for feature in schema.sparse
        ]
        return ids, KeyedJaggedTensor(
            keys=[feature.name for feature in schema.sparse],
            values=torch.tensor([row for feature in ids for example in feature for row in example]),
            lengths=torch.tensor([len(example) for feature in ids for example in feature], dtype=torch.int32),
        )

    return draw
