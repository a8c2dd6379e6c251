import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recnas.nn.linear import Linear, aligned

sizes = st.integers(1, 40)


@given(sizes, sizes, st.lists(st.integers(0, 5), min_size=1, max_size=2), st.booleans(), st.booleans())
def test_it_computes_and_learns_as_torchs_does(
    inputs: int, outputs: int, rows: list[int], bias: bool, training: bool
) -> None:
    torch.manual_seed(0)
    own = Linear(inputs, outputs, bias=bias, dtype=torch.float64).train(training)
    torchs = nn.Linear(inputs, outputs, bias=bias, dtype=torch.float64)
    torchs.load_state_dict(own.state_dict())
    x, gradient = torch.randn(*rows, inputs).double(), torch.randn(*rows, outputs).double()
    learned = []
    for layer in (own, torchs):
        given_x = x.clone().requires_grad_()
        result = layer(given_x)
        result.backward(gradient)
        learned.append([result, given_x.grad, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(*learned)


@given(sizes, sizes, st.booleans())
def test_it_takes_what_was_aligned_before(inputs: int, outputs: int, training: bool) -> None:
    layer = Linear(inputs, outputs).double().train(training)
    x = torch.randn(3, inputs).double()
    wider = nn.functional.pad(x, (0, aligned(inputs) - inputs))
    torch.testing.assert_close(layer(wider), layer(x))
