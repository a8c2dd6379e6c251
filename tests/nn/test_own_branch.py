"""A branch of a user's own, of a module in a package, needs nothing in recnas."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from recnas.export.network_code import NetworkCode
from recnas.nn.network import ChoiceNetwork
from recnas.space import Architecture, SearchSpace, cost
from recnas.space.operators import BRANCHES
from recnas.util.errors import InputError
from tests.own_code import here

__all__ = ["here"]

TOWER = """
from torch import cat, nn

from recnas.nn.elastic import ElasticLinear, InputSegment
from recnas.space import SearchSpace
from recnas.space.operators import Branch, branch, linear


@branch
class Tower(Branch):
    title = "Tower"
    explanation = "linear layers over the stem"
    module = f"{__name__}:Layers"
    leads = True

    def layers(self, columns, depth):
        for _ in range(depth):
            yield linear(columns, columns)


class Layers(nn.Module):
    def __init__(self, columns, layers):
        super().__init__()
        self.layers = nn.ModuleList(ElasticLinear({"stem": columns}, columns, columns) for _ in range(layers))

    def forward(self, dense, fields, layers, slices=None):
        x = cat([dense, fields.flatten(1)], dim=1)
        for layer in self.layers[:layers]:
            x = layer([InputSegment.of("stem", x)], x.shape[1], slices)
        return x


def with_tower():
    return SearchSpace.of_operators("with-tower", ("fc",), ("efc",), {Tower.name: (1, 2)})
"""


def test_a_branch_is_computed_counted_and_read_once_its_module_is_imported(here: Path) -> None:
    (here / "own_parts").mkdir()
    (here / "own_parts/towers.py").write_text(TOWER)
    space, name = SearchSpace.named("own_parts.towers:with_tower"), "own_parts.towers:Tower"
    arch = space.sample(random.Random(0)).canonical()
    assert dict(arch.branches)[name] in (1, 2)
    text = json.dumps(arch.to_json())
    assert Architecture.from_json(json.loads(text)) == arch
    supernet, dense, fields = ChoiceNetwork(space, 3, 4), torch.randn(5, 3), torch.randn(5, 4, 16)
    network = supernet.extract(arch)
    torch.testing.assert_close(network(dense, fields), supernet(dense, fields, arch))
    assert sum(weight.numel() for weight in network.parameters()) == cost.parameters(arch, 3, 4, 16)
    with pytest.raises(InputError, match=r"own_parts\.towers:Tower has no method `write`"):
        NetworkCode(network)
    del BRANCHES[name]
    with pytest.raises(InputError, match=r"own_parts\.towers:Tower is code of its user's own; import own_parts"):
        Architecture.from_json(json.loads(text))


def test_a_branch_that_nobody_knows_is_not_dropped() -> None:
    arch = SearchSpace.named("nasrec-cross").sample(random.Random(0))
    with pytest.raises(InputError, match="no branch 'wide' is known; known are cross"):
        Architecture.from_json({**arch.to_json(), "wide_layers": 2})
