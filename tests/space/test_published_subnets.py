"""The six best subnets published with NASRec (Zhang et al. 2023) have the parameters that they are known to have."""

from typing import Any

import pytest

from recnas.nn.network import ChoiceNetwork
from recnas.space import Architecture, SearchSpace, cost
from recnas.util.errors import InputError

EMBEDDING_DIM = 16

# One line a block: dense operator and width, sparse operator and width, mergers (s: dense to sparse, f: FM), dense
# inputs, sparse inputs, and in NASRec-Full left and right.
CRITEO_SMALL = """
    fc    256  efc 48  s   0    0
    dot  1024  efc 48  sf  1    01
    fc    128  efc 16  s   02   012
    fc     16  efc 48  f   2    02
    dot   128  efc 32  -   0234 24
    fc     16  efc 64  s   0125 125
    fc   1024  efc 64  -   035  0125
"""
CRITEO_FULL = """
    gate  128  att 64  s   0    0    0 0
    dot    32  efc 64  -   0    0    0 1
    dot   768  efc 32  f   12   012  1 2
    gate  768  efc 48  s   03   0123 2 0
    fc     16  efc 16  f   0234 0123 3 1
    fc    768  att 16  s   0345 14   2 3
    fc    128  att 48  f   023  13   6 1
"""
AVAZU_SMALL = """
    dot   512  efc 64  s   0    0
    fc   1024  efc 48  s   01   0
    fc    512  efc 16  f   02   0
    dot   768  efc 48  sf  3    03
    fc    128  efc 16  sf  023  01
    fc    128  efc 64  s   134  013
    fc    512  efc 32  sf  5    126
"""
AVAZU_FULL = """
    dot    32  att 48  s   0    0    0 0
    dot   768  efc 64  s   01   01   0 0
    fc    512  efc 48  s   0    0    0 0
    sum   768  att 16  sf  0123 3    1 0
    dot   768  efc 64  -   234  2    0 3
    gate 1024  efc 64  s   0125 04   0 3
    gate  768  att 16  s   1235 23   0 2
"""
KDD_SMALL = """
    fc    768  efc 48  sf  0    0
    dot   128  efc 64  s   01   01
    dot    32  efc 48  sf  012  01
    fc    256  efc 64  -   0123 023
    fc   1024  efc 64  -   34   0124
    dot   768  efc 64  -   125  45
    dot  1024  efc 48  s   2346 0124
"""
KDD_FULL = """
    dot   128  att 48  s   0    0    0 0
    gate  768  att 64  s   1    1    0 0
    gate   16  efc 48  -   1    12   1 0
    sum    64  att 16  s   023  1    2 2
    sum    64  efc 48  -   0124 02   0 2
    fc    128  efc 32  f   34   0145 4 2
    gate  768  efc 16  s   1356 1345 5 5
"""

SMALL_NODES = ["fc", "dot", "efc"]
FULL_NODES = ["fc", "dot", "gate", "sum", "att", "efc"]

# Blocks, d₀, n₀, dense parameters that reach the logit.
PUBLISHED = {
    "criteo-small": (CRITEO_SMALL, 13, 26, 1_747_477),
    "criteo-full": (CRITEO_FULL, 13, 26, 752_131),
    "avazu-small": (AVAZU_SMALL, 1, 23, 2_746_417),
    "avazu-full": (AVAZU_FULL, 1, 23, 1_480_896),
    "kdd-small": (KDD_SMALL, 3, 10, 2_603_947),
    "kdd-full": (KDD_FULL, 3, 10, 406_877),
}


def published_form(blocks: str) -> dict[str, Any]:
    """The lines above in the form that NASRec publishes, inputs in the order it does not promise."""
    micro, macro = [], []
    for line in blocks.strip().splitlines():
        dense, width, sparse, fields, mergers, dense_inputs, sparse_inputs, *operands = line.split()
        nodes = FULL_NODES if operands else SMALL_NODES
        micro.append(
            {
                "active_nodes": [nodes.index(dense), nodes.index(sparse)],
                "dense_in_dims": int(width),
                "sparse_in_dims": int(fields),
                "dense_sparse_interact": int("s" in mergers),
                "deep_fm": int("f" in mergers),
            }
        )
        left, right = operands or (0, 0)
        macro.append(
            {
                "dense_idx": [int(source) for source in reversed(dense_inputs)],
                "sparse_idx": [int(source) for source in reversed(sparse_inputs)],
                "dense_left_idx": [int(left)],
                "dense_right_idx": [int(right)],
            }
        )
    return {"micro": micro, "macro": macro, "num_blocks": 7}


@pytest.fixture(params=PUBLISHED)
def published(request: pytest.FixtureRequest) -> tuple[str, Architecture, int, int, int]:
    blocks, dense, fields, parameters = PUBLISHED[request.param]
    return request.param, Architecture.from_nasrec(published_form(blocks)), dense, fields, parameters


def test_a_published_subnet_lies_in_its_space(published) -> None:
    name, arch, *_ = published
    small, full = (SearchSpace.named(space) for space in ("nasrec-small", "nasrec-full"))
    assert (arch in small, arch in full) == (name.endswith("small"), name.endswith("full"))


def test_a_published_subnet_costs_the_known_number_of_parameters(published) -> None:
    _, arch, dense, fields, parameters = published
    assert cost.parameters(arch, dense, fields, EMBEDDING_DIM) == parameters
    assert cost.parameters(arch.canonical(), dense, fields, EMBEDDING_DIM) == parameters


def test_a_published_subnet_is_built_with_the_known_number_of_parameters(published) -> None:
    _, arch, dense, fields, parameters = published
    network = ChoiceNetwork(SearchSpace.only(arch.canonical()), dense, fields, EMBEDDING_DIM)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("micro"),
        lambda data: data["micro"].pop(),
        lambda data: data["micro"][0].pop("deep_fm"),
        lambda data: data["micro"][0].update(active_nodes=[0, 6]),
        lambda data: data["micro"][0].update(active_nodes=[]),
        lambda data: data["macro"][3].update(dense_idx=None),
        lambda data: data["macro"][3].update(dense_left_idx=[]),
        lambda data: data["macro"][3].update(dense_idx=[4]),
    ],
)
def test_a_damaged_subnet_is_refused(damage) -> None:
    data = published_form(CRITEO_FULL)
    damage(data)
    with pytest.raises(InputError):
        Architecture.from_nasrec(data)
