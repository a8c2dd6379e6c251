"""What an architecture costs, counted from the value, is what its network is made of and computes."""

import random
from unittest import mock

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from recnas.nn.network import ChoiceNetwork
from recnas.space import SPACES, Architecture, SearchSpace, cost

# d₀ and n₀ of Criteo, Avazu and KDD 2012, and a stem that spares Dot-Product its reductions.
STEMS = [(13, 26), (1, 23), (3, 10), (16, 6)]
ROWS = 2


def _network(arch: Architecture, dense: int, fields: int, dim: int = 16) -> ChoiceNetwork:
    return ChoiceNetwork(SearchSpace.only(arch.canonical()), dense, fields, dim)


def _flops(network: ChoiceNetwork, arch: Architecture | None = None) -> int:
    dense, fields = torch.randn(ROWS, network.num_dense), torch.randn(ROWS, network.num_sparse, network.dim)
    # The fused kernels of attention, torch's and our own, hide their products from the counter.
    with (
        torch.no_grad(),
        mock.patch("recnas.nn.attention.takes", return_value=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        network(dense, fields, arch)
    return counter.get_total_flops()


@pytest.mark.parametrize("space", SPACES)
def test_parameters_and_flops_are_those_of_the_finished_network(space: str, sample) -> None:
    for index, arch in enumerate(sample(space, 60, seed=3)):
        dense, fields = STEMS[index % len(STEMS)]
        network = _network(arch, dense, fields)
        assert cost.parameters(arch, dense, fields, 16) == sum(p.numel() for p in network.parameters())
        assert 2 * ROWS * cost.macs(arch, dense, fields, 16) == _flops(network)


@pytest.mark.parametrize("space", SPACES)
def test_a_candidate_in_the_supernet_computes_no_more_than_its_own_network(space: str, sample) -> None:
    supernet = ChoiceNetwork(SearchSpace.named(space), 3, 10)
    for arch in sample(space, 30, seed=4):
        assert 2 * ROWS * cost.macs(arch, 3, 10, 16) == _flops(supernet, arch)


def test_the_width_of_embeddings_counts(sample) -> None:
    for arch in sample("nasrec-full", 10, seed=5):
        network = _network(arch, 4, 5, dim=8)
        assert cost.parameters(arch, 4, 5, 8) == sum(p.numel() for p in network.parameters())
        assert 2 * ROWS * cost.macs(arch, 4, 5, 8) == _flops(network)


@pytest.mark.parametrize("space", SPACES)
def test_dead_parts_cost_nothing(space: str) -> None:
    named, rng = SearchSpace.named(space), random.Random(6)
    for _ in range(200):
        arch = named.sample(rng)
        for count in (cost.parameters, cost.macs):
            assert count(arch, 13, 26, 16) == count(arch.canonical(), 13, 26, 16) > 0


def test_output_widths_count_the_merged_fields(sample) -> None:
    (arch,) = sample("nasrec-small", 1)
    dense, sparse = cost.output_widths(arch, 13, 26)
    assert dense == [13, *(block.dense_width for block in arch.blocks)]
    assert sparse == [26, *(block.sparse_width + 8 * block.dense_to_sparse for block in arch.blocks)]
