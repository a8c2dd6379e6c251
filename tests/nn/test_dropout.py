from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recnas.nn.dropout import dropout, relu_dropout


def drawn(seed: int, share: float, *shape: int) -> torch.Tensor:
    """What is left of ones."""
    torch.manual_seed(seed)
    return dropout(torch.ones(*shape), share, training=True)


@given(st.integers(0, 2**40), st.floats(0.01, 0.99))
def test_as_many_fall_out_as_the_share_says_and_the_mean_stays(seed: int, share: float) -> None:
    left = drawn(seed, share, 100, 400)
    deviation = (share * (1 - share) / left.numel()) ** 0.5
    assert abs((left == 0).float().mean() - share) < 6 * deviation
    torch.testing.assert_close(left.max(), torch.tensor(1 / (1 - share)))


@given(st.integers(0, 2**40))
def test_neither_neighbours_nor_draws_in_succession_know_of_each_other(seed: int) -> None:
    torch.manual_seed(seed)
    centred = [dropout(torch.ones(100, 400), 0.5, training=True) - 1 for _ in range(4)]
    pairs = [*pairwise(centred), *((one[:, 1:], one[:, :-1]) for one in centred), (centred[0][1:], centred[0][:-1])]
    for one, other in pairs:
        assert abs((one * other).mean()) < 6 / one.numel() ** 0.5


@given(st.integers(0, 2**40), st.floats(0, 0.99))
def test_draws_hang_on_torchs_generator(seed: int, share: float) -> None:
    assert torch.equal(drawn(seed, share, 7, 5), drawn(seed, share, 7, 5))


def test_the_gradient_is_that_of_what_was_kept_in_all_orders() -> None:
    x = torch.randn(60, 40, requires_grad=True)
    result = dropout(x, 0.3, training=True)
    weights = torch.randn(60, 40)
    (gradient,) = torch.autograd.grad((result.square() * weights).sum(), x, create_graph=True)
    kept = torch.where(result == 0, 0.0, 1 / 0.7)
    torch.testing.assert_close(gradient, 2 * weights * kept.square() * x)
    (second,) = torch.autograd.grad(gradient.sum(), x)
    torch.testing.assert_close(second, 2 * weights * kept.square())


def test_gradients_that_lie_otherwise_in_memory_meet_the_same_draws() -> None:
    x = torch.ones(6, 4, requires_grad=True)
    torch.manual_seed(3)
    result = dropout(x, 0.5, training=True)
    (result * torch.ones(4, 6).t()).sum().backward()
    assert torch.equal(x.grad, result)
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(4, 6).t(), 0.5, training=True), result)


@given(st.integers(0, 2**40), st.sampled_from([0.0, 0.2, 0.9]), st.booleans())
def test_with_the_positive_part_it_is_dropout_of_that(seed: int, share: float, training: bool) -> None:
    x, gradient = torch.randn(30, 20).requires_grad_(), torch.randn(20, 30).t()
    results = []
    for function in (relu_dropout, lambda x, *arguments: dropout(x.relu(), *arguments)):
        torch.manual_seed(seed)
        result = function(x, share, training)
        (first,) = torch.autograd.grad((result * gradient).sum() + result.square().sum(), x, create_graph=True)
        results.append((result, first, *torch.autograd.grad(first.sum(), x)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_nothing_falls_out_of_a_network_in_use_or_without_a_share() -> None:
    x = torch.randn(3)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_diverges_stays_visible(value: float) -> None:
    for function in (dropout, relu_dropout):
        assert not function(torch.full((100,), value), 0.99, training=True).isfinite().any()


def test_other_precisions_have_torchs_draws() -> None:
    torch.manual_seed(1)
    left = dropout(torch.ones(1000, dtype=torch.float64), 0.5, training=True)
    assert set(left.tolist()) == {0.0, 2.0}
