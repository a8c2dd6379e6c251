"""PROFIT against sums over all sets of fields, one by one in double precision."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest
import torch

from recnas.nn.baselines.profit import InteractionTensors, Profit, elementary_symmetric, entries_of

ROWS, FIELDS, DIM = 3, 6, 4


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_tensors_terms_are_those_of_all_sets_of_fields(order: int, rank: int) -> None:
    torch.manual_seed(order)
    fields, factors = torch.randn(ROWS, FIELDS, DIM).double(), torch.randn(rank, FIELDS).double()
    expected = torch.zeros(ROWS).double()
    for chosen in combinations(range(FIELDS), order):
        entry = sum(torch.prod(torch.stack([factors[r, i] for i in chosen])) for r in range(rank))
        product = torch.ones(ROWS, DIM).double()
        for i in chosen:
            product = product * fields[:, i]
        expected += entry * product.sum(1)
        assert entries_of(factors, torch.tensor([chosen])).item() == pytest.approx(entry.item(), rel=1e-12)
    tensors = InteractionTensors()
    tensors.factors[order] = factors
    torch.testing.assert_close(tensors.terms(fields), expected, rtol=1e-10, atol=1e-10)


def test_elementary_symmetric_polynomials_end_where_there_are_no_more_places() -> None:
    x = torch.randn(2, 1, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(elementary_symmetric(x, 3), x.prod(2))
    torch.testing.assert_close(elementary_symmetric(x, 4), torch.zeros(2, 1, 5).double(), atol=1e-12, rtol=0)


def test_the_entries_that_are_kept_are_the_largest_in_size() -> None:
    torch.manual_seed(0)
    tensors = InteractionTensors()
    tensors.factors[3] = factors = torch.randn(2, 7)
    sets, entries = tensors.largest(3, 5)
    every = {
        chosen: sum(torch.prod(factors[r, list(chosen)]).item() for r in range(2))
        for chosen in combinations(range(7), 3)
    }
    best = sorted(every, key=lambda chosen: -abs(every[chosen]))[:5]
    assert [tuple(chosen) for chosen in sets.tolist()] == best
    assert entries.tolist() == pytest.approx([every[chosen] for chosen in best], rel=1e-5)


def test_of_very_many_sets_those_of_the_fields_that_weigh_most_are_looked_at(monkeypatch) -> None:
    monkeypatch.setattr("recnas.nn.baselines.profit.MOST_ENTRIES", 10)
    tensors = InteractionTensors()
    tensors.factors[2] = torch.tensor([[0.1, -3.0, 2.0, 0.2, 1.0, 4.0, 0.3, 0.4, 5.0]])
    sets, _ = tensors.largest(2, 10)
    assert {field for chosen in sets.tolist() for field in chosen} == {1, 2, 4, 5, 8}
    assert len(sets) == comb(5, 2)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_a_network_computes_the_linear_part_and_its_interactions(order: int) -> None:
    torch.manual_seed(1)
    network = Profit(2, FIELDS, DIM, order=order, rank=2, kept=4).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    for k in range(2, order + 1):
        sets = torch.tensor(list(combinations(range(FIELDS), k))[-4:])
        network.take({k: (sets, torch.randn(4))})
    dense, fields = torch.randn(ROWS, 2).double(), torch.randn(ROWS, FIELDS, DIM + 1).double()
    expected = network.linear.bias + dense @ network.linear.weight[:, 0] + fields[..., -1].sum(1)
    for part in network.interactions.values():
        for chosen, weight in zip(part.sets.long().tolist(), part.weight, strict=True):
            product = torch.ones(ROWS, DIM).double()
            for i in chosen:
                product = product * fields[:, i, :-1]
            expected = expected + weight * product.sum(1)
    torch.testing.assert_close(network(dense, fields), expected, rtol=1e-10, atol=1e-10)


def test_where_there_are_few_fields_all_there_is_is_kept() -> None:
    one, two = (Profit(1, number, DIM, order=4, rank=1, kept=8) for number in (1, 2))
    assert (one.orders, two.orders) == ((), (2,))
    assert two.interactions["2"].sets.tolist() == [[0, 1]]
    assert one(torch.randn(3, 1), torch.randn(3, 1, DIM + 1)).shape == (3,)


def test_damaged_sets_read_no_other_memory() -> None:
    network = Profit(1, FIELDS, DIM, order=2, rank=1, kept=4)
    network.interactions["2"].sets.fill_(1e9)
    assert network(torch.randn(3, 1), torch.randn(3, FIELDS, DIM + 1)).isfinite().all()
