import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from recnas.nn.first_order import factorization_machine, pair_products, with_weights

sizes = st.integers(0, 9)


def leaf(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype).requires_grad_()


def gradient(results: tuple[Tensor, ...], x: Tensor) -> Tensor:
    return torch.autograd.grad(sum((result * result.detach()).sum() for result in results), x)[0]


@given(sizes, st.integers(1, 9), sizes, st.integers(1, 4))
def test_loops_join_embeddings_and_weights_as_torch_does(rows: int, fields: int, dim: int, copies: int) -> None:
    values = leaf(rows, fields * (dim + copies))
    exact = values.detach().double().requires_grad_()
    found, expected = with_weights(values, fields, copies), with_weights(exact, fields, copies)
    assert found.shape == (rows, fields, dim + 1)
    torch.testing.assert_close(found, expected.float())
    torch.testing.assert_close(gradient((found,), values), gradient((expected,), exact).float())


@given(sizes, st.integers(1, 9), sizes, st.none() | sizes)
def test_loops_compute_the_machine_and_its_gradient_as_torch_does(
    rows: int, number: int, dim: int, columns: int | None
) -> None:
    fields = leaf(rows, number, dim + 1)
    exact = fields.detach().double().requires_grad_()
    dense = None if columns is None else torch.randn(rows, columns)
    flat, logit = factorization_machine(fields, dense)
    exact_flat, exact_logit = factorization_machine(exact, None if dense is None else dense.double())
    wide = exact_flat.shape[1]
    torch.testing.assert_close(flat[:, :wide], exact_flat.float())
    assert not flat[:, wide:].any()
    torch.testing.assert_close(logit, exact_logit.float(), rtol=1e-4, atol=1e-4)
    found, expected = (gradient((flat, logit), fields), gradient((exact_flat, exact_logit), exact))
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-3)


def test_the_machine_is_the_sum_of_all_pairs() -> None:
    fields = torch.randn(5, 4, 3).double()
    pairs = sum((fields[:, i] * fields[:, j]).sum(1) for i in range(4) for j in range(i))
    torch.testing.assert_close(pair_products(fields), pairs)
