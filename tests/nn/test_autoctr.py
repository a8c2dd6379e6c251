"""AutoCTR's blocks against their formulas, written out product by product in double precision."""

import itertools

import pytest
import torch
from torch import Tensor

from recnas.nn.network import ChoiceNetwork
from recnas.space import Architecture, Block, SearchSpace
from recnas.space.architecture import UNREAD

ROWS, DIM = 4, 16


def _flat(fields: Tensor) -> Tensor:
    return fields.flatten(1)


def _by_definition(network: ChoiceNetwork, dense: Tensor, fields: Tensor) -> Tensor:
    """The logit, from a candidate's weights by name."""
    arch, weights = network.architecture, dict(network.named_parameters())
    outputs: dict[int, Tensor] = {0: dense}

    def mixed(own: str, block: Block) -> Tensor:
        total = weights[f"{own}.bias"]
        for source in block.dense_inputs:
            total = total + outputs[source] @ weights[f"{own}.weight.{source}"].T
        if block.sparse_inputs and f"{own}.weight.fields_0" in weights:
            total = total + _flat(fields) @ weights[f"{own}.weight.fields_0"].T
        return total

    for number, block in enumerate(arch.blocks, start=1):
        if not block.dense_operators:
            continue
        (operator,) = block.dense_operators
        own = f"blocks.{number - 1}.operators.{operator}"
        vectors = list(fields.unbind(1)) if block.sparse_inputs else []
        if block.dense_inputs and operator != "mlp":
            joined = torch.cat([outputs[source] for source in block.dense_inputs], dim=1)
            reduced = joined.shape[1] != DIM
            vectors.append(mixed(f"{own}.vectors.dense_linear", block) if reduced else joined)
        match operator:
            case "mlp":
                outputs[number] = mixed(f"{own}.linear", block).clamp(min=0)
            case "inner-products":
                pairs = [(vectors[i] * vectors[j]).sum(1) for i in range(len(vectors)) for j in range(i + 1)]
                outputs[number] = torch.stack(pairs, dim=1)
            case "fm":
                pairs = [(a * b).sum(1, keepdim=True) for a, b in itertools.combinations(vectors, 2)]
                outputs[number] = mixed(f"{own}.linear", block) + sum(pairs)
    logit = weights["last.bias"]
    columns_read, fields_read = arch.logit_inputs()
    for source in columns_read:
        logit = logit + outputs[source] @ weights[f"last.weight.dense_{source}"]
    if fields_read:
        logit = logit + (fields.transpose(1, 2) * weights["last.weight.fields_0"]).sum((1, 2))
    return logit


@pytest.mark.parametrize("stem", [(13, 26), (1, 5), (16, 6)])
def test_a_network_computes_what_the_formulas_say(stem: tuple[int, int], sample, shake) -> None:
    torch.manual_seed(0)
    dense = torch.randn(ROWS, stem[0], dtype=torch.float64)
    fields = torch.randn(ROWS, stem[1], DIM, dtype=torch.float64)
    seen = set()
    for arch in sample("autoctr", 25):
        network = shake(ChoiceNetwork(SearchSpace.only(arch.canonical()), *stem).double())
        torch.testing.assert_close(network(dense, fields), _by_definition(network, dense, fields), rtol=1e-9, atol=1e-9)
        seen |= {name for block in arch.canonical().blocks for name in block.dense_operators}
    assert seen == {"mlp", "inner-products", "fm"}


def test_operators_whose_width_follows_from_inputs_stand_beside_nasrecs_and_their_mergers(shake) -> None:
    torch.manual_seed(0)
    block = Block(("inner-products",), ("efc",), 1, 16, (0,), (0,), dense_to_sparse=True, fm=True)
    last = Block(("fc",), ("efc",), 32, 16, (1,), (1,))
    for logit in ("last", UNREAD):
        arch = Architecture((block, last), logit=logit)
        network = shake(ChoiceNetwork(SearchSpace.only(arch), 3, 5))
        assert network(torch.randn(2, 3), torch.randn(2, 5, DIM)).isfinite().all()
