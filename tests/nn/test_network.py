"""The supernet: what a candidate computes inside it is what it computes on its own."""

import copy
import random
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from recnas.nn.elastic import WeightSlices
from recnas.nn.network import ChoiceNetwork
from recnas.space import SPACES, SearchSpace
from tests.spaces import NASREC

STEMS = [(13, 26), (1, 23), (3, 10), (16, 6)]


def _inputs(network: ChoiceNetwork, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    sizes = (rows, network.num_dense), (rows, network.num_sparse, network.dim)
    return tuple(torch.randn(size, generator=generator) for size in sizes)


@pytest.mark.parametrize("space", SPACES)
@torch.no_grad()
def test_a_candidate_agrees_with_its_extracted_network(space: str, sample, shake, double: None) -> None:
    supernet = shake(ChoiceNetwork(SearchSpace.named(space), 13, 26))
    inputs = _inputs(supernet, 3)
    for arch in sample(space, 100, seed=9):
        torch.testing.assert_close(supernet(*inputs, arch), supernet.extract(arch)(*inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("space", SPACES)
@torch.no_grad()
def test_a_candidate_agrees_with_its_extracted_network_in_single_precision(space: str, sample, shake) -> None:
    supernet = shake(ChoiceNetwork(SearchSpace.named(space), 3, 10))
    inputs = _inputs(supernet, 3)
    for arch in sample(space, 25, seed=8):
        torch.testing.assert_close(supernet(*inputs, arch), supernet.extract(arch)(*inputs), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_candidate_of_any_space_agrees_with_its_extracted_network(odd_space, shake, double: None) -> None:
    torch.manual_seed(0)
    for seed in range(80):
        rng = random.Random(seed)
        space = odd_space(rng)
        supernet = shake(ChoiceNetwork(space, *STEMS[seed % len(STEMS)]))
        inputs = _inputs(supernet, 3)
        for _ in range(3):
            arch = space.sample(rng)
            finished, expected = supernet.extract(arch), supernet(*inputs, arch)
            assert finished.architecture == arch.canonical()
            torch.testing.assert_close(finished(*inputs), expected, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(supernet(*inputs, arch, WeightSlices()), expected, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(supernet(*inputs, arch.canonical()), expected, rtol=0, atol=0)


def test_a_network_of_many_architectures_has_to_be_told_which() -> None:
    network = ChoiceNetwork(SearchSpace.named("nasrec-small"), 2, 3)
    with pytest.raises(ValueError, match="holds many architectures"):
        network(*_inputs(network, 2))


def test_a_cross_network_that_is_too_deep_is_refused(sample) -> None:
    network = ChoiceNetwork(SearchSpace.named("nasrec-cross"), 2, 3)
    with pytest.raises(ValueError, match="7 cross layers are asked for where there are 6"):
        network(*_inputs(network, 2), replace(*sample("nasrec-cross", 1), branches=(("cross", 7),)))
    network = ChoiceNetwork(SearchSpace.named("nasrec-small"), 2, 3)
    with pytest.raises(ValueError, match="the branch cross is asked for where there is none"):
        network(*_inputs(network, 2), replace(*sample("nasrec-small", 1), branches=(("cross", 1),)))


@pytest.mark.parametrize("space", NASREC)
def test_the_full_path_computes_and_reaches_every_parameter_but_those_of_other_operands(space: str) -> None:
    network = ChoiceNetwork(SearchSpace.named(space), 2, 3)
    network(*_inputs(network, 2), network.space.full_path()).sum().backward()
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    # A gate has weights for each earlier output, of which a path reads one; operands as wide as the output, as the
    # full path's are from block 2 on, need no matrix after them.
    assert all(any(part in name for part in (".gating.", ".mask.", ".sum.linear.")) for name in unused)
    assert bool(unused) == (space in ("nasrec-full", "nasrec-wide"))


@pytest.mark.parametrize("space", SPACES)
def test_the_gradient_of_a_leaf_is_the_slice_of_the_whole_gradient(space: str, sample, shake, double: None) -> None:
    network = shake(ChoiceNetwork(SearchSpace.named(space), 3, 10))
    dense, fields = _inputs(network, 5)
    label = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0]).to(dense.dtype)
    for arch in sample(space, 8, seed=10):
        network.zero_grad()
        F.binary_cross_entropy_with_logits(network(dense, fields, arch), label).backward()
        slices = WeightSlices()
        F.binary_cross_entropy_with_logits(network(dense, fields, arch, slices), label).backward()
        taken = {id(item.parameter): item for item in slices.taken}
        for name, parameter in network.named_parameters():
            item = taken.pop(id(parameter), None)
            if item is None:
                assert parameter.grad is None or not parameter.grad.any(), name
                continue
            inside = item.view_of(parameter.grad)
            torch.testing.assert_close(item.leaf.grad, inside, rtol=1e-10, atol=1e-10)
            assert parameter.grad.count_nonzero() == inside.count_nonzero(), name
            assert item.leaf.data_ptr() == parameter.data_ptr()
            assert item.layer in set(network.modules())
        assert not taken


def test_a_candidate_takes_exactly_the_parameters_of_its_own_network(sample) -> None:
    supernet = ChoiceNetwork(SearchSpace.named("nasrec-small"), 3, 10)
    for arch in sample("nasrec-small", 20, seed=11):
        slices = WeightSlices()
        supernet(*_inputs(supernet, 2), arch, slices)
        finished = ChoiceNetwork(SearchSpace.only(arch.canonical()), 3, 10)
        assert sum(item.leaf.numel() for item in slices.taken) == sum(p.numel() for p in finished.parameters())


def test_the_same_slices_serve_several_batches(sample) -> None:
    network = ChoiceNetwork(SearchSpace.named("nasrec-full"), 3, 10)
    (arch,) = sample("nasrec-full", 1)
    slices, twice = WeightSlices(), WeightSlices()
    dense, fields = _inputs(network, 4)
    network(dense, fields, arch, slices).sum().backward()
    for rows in (slice(0, 2), slice(2, 4)):
        network(dense[rows], fields[rows], arch, twice).sum().backward()
    assert len(slices.taken) == len(twice.taken)
    for once, again in zip(slices.taken, twice.taken, strict=True):
        assert once.parameter is again.parameter
        torch.testing.assert_close(once.leaf.grad, again.leaf.grad, rtol=1e-4, atol=1e-5)


def test_one_candidate_cannot_take_a_parameter_at_two_sizes() -> None:
    slices, layer = WeightSlices(), torch.nn.Linear(4, 4)
    slices.take(layer, layer.weight, (2, 3))
    with pytest.raises(ValueError, match=r"at \(2, 3\) and at \(2, 4\)"):
        slices.take(layer, layer.weight, (2, 4))


def test_training_one_candidate_moves_no_weight_that_it_does_not_use(sample) -> None:
    network = ChoiceNetwork(SearchSpace.named("nasrec-full"), 3, 10)
    before = copy.deepcopy(network.state_dict())
    (arch,) = sample("nasrec-full", 1, seed=12)
    slices = WeightSlices()
    network(*_inputs(network, 4), arch, slices).sum().backward()
    with torch.no_grad():
        for item in slices.taken:
            item.leaf.add_(1)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for item in slices.taken:
        item.view_of(before[names[id(item.parameter)]]).add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_extracted_weights_are_copies(sample) -> None:
    network = ChoiceNetwork(SearchSpace.named("nasrec-small"), 3, 10)
    (arch,) = sample("nasrec-small", 1)
    inputs = _inputs(network, 4)
    finished = network.extract(arch)
    expected = finished(*inputs)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(finished(*inputs), expected)
