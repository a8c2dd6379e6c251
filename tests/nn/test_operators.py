"""The operators against a second implementation, written from their definition with PyTorch's own layers."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines import dcnv2, fcn, finalnet, gdcn, masknet, qnn
from recnas.nn.elastic import InputSegment
from recnas.nn.network import ChoiceNetwork
from recnas.nn.operators import Inputs, Read, Shapes
from recnas.nn.operators.cross import CrossNetwork
from recnas.nn.operators.factorized import FactorizedInteraction
from recnas.nn.operators.mask import Mask
from recnas.space import Architecture, Block, SearchSpace, cost
from tests.spaces import NASREC

STEMS = [(13, 26), (1, 23), (3, 10), (16, 6)]


class PlainBlock(nn.Module):
    """One block whose parts are all alive: dense inputs `[B, ·]`, sparse inputs `[B, N, E]`, concatenated and whole."""

    def __init__(self, block: Block, dense: list[int], fields: list[int], dim: int) -> None:
        super().__init__()
        self.block, self.dim = block, dim
        width, kept = block.dense_width, block.sparse_width
        columns, rows = sum(dense[i] for i in block.dense_inputs), sum(fields[i] for i in block.sparse_inputs)
        (self.dense,), (self.sparse,) = block.dense_operators or (None,), block.sparse_operators or (None,)
        if self.dense is not None:
            self.norm = nn.LayerNorm(width)
        if self.dense == "fc":
            self.linear = nn.Linear(columns, width, bias=False)
        elif self.dense == "dot-product":
            k = self.k = round((2 * width) ** 0.5)
            if columns != dim:
                self.reduce_dense = nn.Sequential(nn.Linear(columns, dim, bias=False), nn.LayerNorm(dim))
            if rows != k:
                self.reduce_sparse = nn.Sequential(nn.Linear(rows, k, bias=False), nn.LayerNorm(k))
            if k * (k + 1) // 2 != width:
                self.linear = nn.Linear(k * (k + 1) // 2, width, bias=False)
        elif self.dense == "factorized":
            self.linear = nn.Linear(columns, width)
        elif self.dense == "mask":
            left, right = dense[block.left], dense[block.right]
            between = max(1, right // 4)
            self.mask = nn.Sequential(nn.Linear(left, between), nn.ReLU(), nn.Linear(between, right))
            self.linear = nn.Linear(right, width, bias=False)
        elif self.dense in ("gating", "sum"):
            self.m = max(dense[block.left], dense[block.right])
            if self.dense == "gating":
                self.gate = nn.Linear(self.m, self.m)
            if self.m != width:
                self.linear = nn.Linear(self.m, width, bias=self.dense == "gating")
        if self.sparse is not None:
            self.over_fields = nn.Linear(rows, kept, bias=False)
            self.fields_norm = nn.LayerNorm(kept)
        if self.sparse == "attention":
            self.attention = nn.MultiheadAttention(dim, 8, batch_first=True)
            self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
            self.feed_forward = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        if block.dense_to_sparse and width != 8 * dim:
            self.merger = nn.Sequential(nn.Linear(width, 8 * dim, bias=False), nn.LayerNorm(8 * dim))
        if block.fm and width != dim:
            self.fm = nn.Sequential(nn.Linear(dim, width, bias=False), nn.LayerNorm(width))

    def forward(self, dense: list[Tensor | None], sparse: list[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
        block = self.block
        if block.dense_inputs:
            columns = torch.cat([dense[i] for i in block.dense_inputs], dim=1)
        if block.sparse_inputs:
            fields = torch.cat([sparse[i] for i in block.sparse_inputs], dim=1)
        if self.dense in ("gating", "sum"):
            left, right = (F.pad(x, (0, self.m - x.shape[1])) for x in (dense[block.left], dense[block.right]))
        match self.dense:
            case "fc":
                d = F.relu(self.norm(self.linear(columns)))
            case "dot-product":
                x = self.reduce_dense(columns) if hasattr(self, "reduce_dense") else columns
                y = fields
                if hasattr(self, "reduce_sparse"):
                    y = self.reduce_sparse(fields.transpose(1, 2)).transpose(1, 2)
                vectors = [x, *y.unbind(1)]
                pairs = [(vectors[a] * vectors[b]).sum(1) for a in range(self.k + 1) for b in range(a)]
                d = self.norm(self._output(torch.stack(pairs, dim=1)))
            case "factorized":
                mixed = self.linear(columns)
                for second, first in zip(range(0, mixed.shape[1], 2), range(1, mixed.shape[1], 2), strict=False):
                    mixed = mixed.index_copy(1, torch.tensor([first]), (mixed[:, first] * mixed[:, second])[:, None])
                d = F.relu(self.norm(mixed))
            case "mask":
                d = F.relu(self.norm(self.linear(self.mask(dense[block.left]) * dense[block.right])))
            case "gating":
                d = self.norm(self._output(torch.sigmoid(self.gate(left)) * right))
            case "sum":
                d = self.norm(self._output(left + right))
            case None:
                d = None
        s = None
        if self.sparse is not None:
            s = self.fields_norm(self.over_fields(fields.transpose(1, 2))).transpose(1, 2)
            if self.sparse == "efc":
                s = F.relu(s)
            else:
                s = self.norms[0](s + self.attention(s, s, s, need_weights=False)[0])
                s = self.norms[1](s + self.feed_forward(s))
        merged = None
        if block.dense_to_sparse:
            merged = (self.merger(d) if hasattr(self, "merger") else d).reshape(-1, 8, self.dim)
        if block.fm:
            v = s.sum(1) ** 2 - (s**2).sum(1)
            d = d + (self.fm(v) if hasattr(self, "fm") else v)
        parts = [x for x in (s, merged) if x is not None]
        return d, torch.cat(parts, dim=1) if parts else None

    def _output(self, x: Tensor) -> Tensor:
        return self.linear(x) if hasattr(self, "linear") else x


class PlainExperts(nn.Module):
    """A layer of DCN-V2's mixture of four low-rank experts, each by itself."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        rank = max(1, inputs // 16)
        self.experts = nn.ModuleList(
            nn.ModuleList(nn.Linear(*sizes, bias=False) for sizes in ((inputs, rank), (rank, rank), (rank, inputs)))
            for _ in range(4)
        )
        self.bias, self.gate = nn.Parameter(torch.zeros(inputs)), nn.Linear(inputs, 4, bias=False)

    def forward(self, base: Tensor, x: Tensor) -> Tensor:
        shares, result = F.softmax(self.gate(x), dim=1), x
        for place, (v, c, u) in enumerate(self.experts):
            expert = base * (u(torch.tanh(c(torch.tanh(v(x))))) + self.bias)
            result = result + shares[:, place : place + 1] * expert
        return result


class PlainBranch(nn.Module):
    """A branch of the layers of baselines, where these have such."""

    def __init__(self, name: str, inputs: int, depth: int) -> None:
        super().__init__()
        self.name = name
        if name.startswith("cross") and name != "cross-mixture":
            rank = max(1, inputs // 4) if name == "cross-lowrank" else 0
            self.layers = nn.ModuleList([dcnv2.CrossNetwork(inputs, depth, rank)])
            return
        self.layers = nn.ModuleList(
            {
                "cross-mixture": lambda: PlainExperts(inputs),
                "gated-cross": lambda: gdcn.GatedCrossLayer(inputs),
                "exponential-cross": lambda: fcn.CrossLayer(inputs, 0.0, "layer"),
                "quadratic": lambda: qnn.QuadraticLayer(inputs, 2, 0.0, "layer"),
            }[name]()
            for _ in range(depth)
        )

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        if self.name == "exponential-cross":
            fields = torch.cat([half.flatten(1) for half in fields.chunk(2, dim=2)], dim=1)
        base = x = torch.cat([dense, fields.flatten(1)], dim=1)
        for layer in self.layers:
            if self.name in ("gated-cross", "cross-mixture"):
                x = layer(base, x)
            else:
                x = layer(x, x) if self.name == "exponential-cross" else layer(x)
        return x


class PlainNetwork(nn.Module):
    """Blocks in a chain; every output is concatenated, none is sliced."""

    def __init__(self, arch: Architecture, num_dense: int, num_sparse: int, dim: int) -> None:
        super().__init__()
        dense, fields = cost.output_widths(arch, num_dense, num_sparse)
        self.blocks = nn.ModuleList(PlainBlock(block, dense, fields, dim) for block in arch.blocks)
        stem = num_dense + num_sparse * dim
        self.branches = nn.ModuleDict({name: PlainBranch(name, stem, depth) for name, depth in arch.branches})
        self.last = nn.Linear(dense[-1] + fields[-1] * dim + stem * len(arch.branches), 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        dense_outputs, sparse_outputs = [dense], [fields]
        for block in self.blocks:
            d, s = block(dense_outputs, sparse_outputs)
            dense_outputs.append(d)
            sparse_outputs.append(s)
        crossed = [branch(dense, fields) for branch in self.branches.values()]
        return self.last(torch.cat([d, s.flatten(1), *crossed], dim=1)).squeeze(1)


@torch.no_grad()
def copy_weights(network: ChoiceNetwork, plain: PlainNetwork) -> None:
    """Takes every weight of a finished network to the place that it has by definition; none may be left over."""
    weights = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def put(to: Tensor, source: Tensor) -> None:
        assert to.shape == source.shape
        to.copy_(source)

    for index, block in enumerate(plain.blocks):
        here = f"blocks.{index}."

        def linear(name: str, layer: nn.Linear, sources: list[str], here: str = here) -> None:
            put(layer.weight, torch.cat([weights.pop(f"{here}{name}.weight.{source}") for source in sources], dim=1))
            if layer.bias is not None:
                put(layer.bias, weights.pop(f"{here}{name}.bias"))

        def norm(name: str, layer: nn.LayerNorm, here: str = here) -> None:
            put(layer.weight, weights.pop(f"{here}{name}.weight"))
            put(layer.bias, weights.pop(f"{here}{name}.bias"))

        choice = block.block
        dense = [str(source) for source in choice.dense_inputs]
        sparse = []
        for source in choice.sparse_inputs:
            earlier = plain.blocks[source - 1].block if source else None
            sparse += [str(source)] if earlier is None or earlier.sparse_operators else []
            sparse += [f"{source}_merged"] if earlier is not None and earlier.dense_to_sparse else []
        operator = f"operators.{block.dense}"
        if block.dense is not None:
            norm(f"{operator}.norm", block.norm)
        if hasattr(block, "linear"):
            sources = {"fc": dense, "factorized": dense, "dot-product": ["products"], "sum": ["sum"]}
            linear(f"{operator}.linear", block.linear, sources.get(block.dense, [str(choice.right)]))
        if hasattr(block, "mask"):
            linear(f"{operator}.hidden", block.mask[0], [str(choice.left)])
            linear(f"{operator}.mask", block.mask[2], ["hidden"])
        if hasattr(block, "reduce_dense"):
            linear(f"{operator}.dense_linear", block.reduce_dense[0], dense)
            norm(f"{operator}.dense_norm", block.reduce_dense[1])
        if hasattr(block, "reduce_sparse"):
            linear(f"{operator}.sparse_linear", block.reduce_sparse[0], sparse)
            norm(f"{operator}.sparse_norm", block.reduce_sparse[1])
        if hasattr(block, "gate"):
            linear(f"{operator}.gate", block.gate, [str(choice.left)])
        operator = f"operators.{block.sparse}"
        if block.sparse is not None:
            linear(f"{operator}.linear", block.over_fields, sparse)
            norm(f"{operator}.norm", block.fields_norm)
        if block.sparse == "attention":
            put(block.attention.in_proj_weight, weights.pop(f"{here}{operator}.in_projection.weight.fields"))
            put(block.attention.in_proj_bias, weights.pop(f"{here}{operator}.in_projection.bias"))
            linear(f"{operator}.out_projection", block.attention.out_proj, ["fields"])
            linear(f"{operator}.feed_forward_in", block.feed_forward[0], ["fields"])
            linear(f"{operator}.feed_forward_out", block.feed_forward[2], ["fields"])
            norm(f"{operator}.attention_norm", block.norms[0])
            norm(f"{operator}.feed_forward_norm", block.norms[1])
        if hasattr(block, "merger"):
            linear("dense_to_sparse.linear", block.merger[0], ["dense"])
            norm("dense_to_sparse.norm", block.merger[1])
        if hasattr(block, "fm"):
            linear("fm.linear", block.fm[0], ["fm"])
            norm("fm.norm", block.fm[1])
    for branch in plain.branches.values():
        _copy_branch(branch, weights, put)
    parts = [weights.pop("last.weight.dense"), weights.pop("last.weight.fields").t()]
    if "last.weight.merged" in weights:
        parts.append(weights.pop("last.weight.merged").t())
    parts += [weights.pop(f"last.weight.{name}") for name in plain.branches]
    put(plain.last.weight, torch.cat([part.flatten() for part in parts]).unsqueeze(0))
    put(plain.last.bias, weights.pop("last.bias"))
    assert not weights


def _copy_branch(branch: PlainBranch, weights: dict[str, Tensor], put: Callable[[Tensor, Tensor], None]) -> None:
    def linear(own: str, layer: nn.Linear) -> None:
        put(layer.weight, weights.pop(f"{own}.weight.stem"))
        if layer.bias is not None:
            put(layer.bias, weights.pop(f"{own}.bias"))

    layers = branch.layers[0].layers if branch.name in ("cross", "cross-lowrank") else branch.layers
    for index, layer in enumerate(layers):
        own = f"{branch.name}.layers.{index}"
        match branch.name:
            case "cross":
                linear(own, layer)
            case "cross-lowrank":
                linear(f"{own}.down", layer[0])
                linear(f"{own}.up", layer[1])
            case "cross-mixture":
                linear(f"{own}.gate", layer.gate)
                put(layer.bias, weights.pop(f"{own}.up.bias"))
                down, up = (weights.pop(f"{own}.{part}.weight.stem") for part in ("down", "up"))
                for place, (v, c, u) in enumerate(layer.experts):
                    put(v.weight, down.chunk(4)[place])
                    linear(f"{own}.within.{place}", c)
                    put(u.weight, up.chunk(4, dim=1)[place])
            case "gated-cross":
                linear(f"{own}.cross", layer.cross)
                linear(f"{own}.gate", layer.gate)
            case "exponential-cross":
                linear(f"{own}.linear", layer.linear)
                put(layer.norm.weight, weights.pop(f"{own}.norm.weight"))
                put(layer.norm.bias, weights.pop(f"{own}.norm.bias"))
                put(layer.bias, weights.pop(f"{own}.bias.weight.one").squeeze(1))
            case "quadratic":
                linear(f"{own}.linear", layer.factors.linear)
                put(layer.factors.norm.weight, weights.pop(f"{own}.norm.weight"))
                put(layer.factors.norm.bias, weights.pop(f"{own}.norm.bias"))


def _agree(arch: Architecture, num_dense: int, num_sparse: int, shake) -> None:
    arch = arch.canonical()
    network = shake(ChoiceNetwork(SearchSpace.only(arch), num_dense, num_sparse).double())
    plain = PlainNetwork(arch, num_dense, num_sparse, network.dim).double()
    copy_weights(network, plain)
    dense = torch.randn(3, num_dense, dtype=torch.float64)
    fields = torch.randn(3, num_sparse, network.dim, dtype=torch.float64)
    torch.testing.assert_close(network(dense, fields), plain(dense, fields), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", NASREC)
def test_a_network_of_a_published_space_computes_what_its_definition_says(space: str, sample, shake) -> None:
    torch.manual_seed(0)
    for index, arch in enumerate(sample(space, 25, seed=7)):
        _agree(arch, *STEMS[index % len(STEMS)], shake)


def test_a_network_of_any_space_computes_what_its_definition_says(odd_space, shake) -> None:
    torch.manual_seed(0)
    rng, seen = random.Random(0), set()
    for _ in range(300):
        arch = odd_space(rng).sample(rng)
        stem = rng.choice(STEMS)
        _agree(arch, *stem, shake)
        seen |= _rules_met(arch.canonical(), *stem)
    # Every rule that leaves a layer out was met, and left none out elsewhere.
    names = {"dense reduction", "sparse reduction", "products", "operands", "merger", "fm", "padding"}
    assert seen == {(name, skipped) for name in names for skipped in (False, True)}


def _rules_met(arch: Architecture, num_dense: int, num_sparse: int) -> set[tuple[str, bool]]:
    dense, fields = cost.output_widths(arch, num_dense, num_sparse)
    met = set()
    for block in arch.blocks:
        width = block.dense_width
        if "dot-product" in block.dense_operators:
            k = round((2 * width) ** 0.5)
            met.add(("dense reduction", sum(dense[source] for source in block.dense_inputs) == 16))
            met.add(("sparse reduction", sum(fields[source] for source in block.sparse_inputs) == k))
            met.add(("products", k * (k + 1) // 2 == width))
        if {"gating", "sum"} & set(block.dense_operators):
            met.add(("operands", max(dense[block.left], dense[block.right]) == width))
            met.add(("padding", dense[block.left] == dense[block.right]))
        if block.dense_to_sparse:
            met.add(("merger", width == 128))
        if block.fm:
            met.add(("fm", width == 16))
    return met


def test_the_norms_after_attention_start_small_and_biases_at_zero(sample) -> None:
    for arch in sample("nasrec-full", 5):
        for name, parameter in ChoiceNetwork(SearchSpace.only(arch.canonical()), 3, 4).named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            elif "attention_norm" in name or "feed_forward_norm" in name:
                torch.testing.assert_close(parameter.detach(), torch.full((16,), 0.17))
            elif "norm" in name:
                assert (parameter == 1).all()


def test_matrices_start_xavier_uniform_over_all_their_sources() -> None:
    block = Block(("fc",), ("efc",), 512, 16, dense_inputs=(0,), sparse_inputs=(0,))
    arch = Architecture((block, Block(("fc",), ("efc",), 512, 16, dense_inputs=(0, 1), sparse_inputs=(0,))))
    network = ChoiceNetwork(SearchSpace.only(arch), 256, 4)
    bound = (6 / (256 + 512 + 512)) ** 0.5
    for weight in network.blocks[1].operators["fc"].linear.weight.values():
        assert 0.99 * bound < weight.abs().max() <= bound
        torch.testing.assert_close(weight.std().item(), bound / 3**0.5, rtol=0.02, atol=0)


@torch.no_grad()
def test_the_cross_network_is_that_of_the_baseline_dcn_v2(shake, double: None) -> None:
    ours, theirs = shake(CrossNetwork(3 + 2 * 16, 3)), shake(dcnv2.CrossNetwork(3 + 2 * 16, 3), seed=1)
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        layer.weight["stem"].copy_(other.weight)
        layer.bias.copy_(other.bias)
    dense, fields = torch.randn(5, 3), torch.randn(5, 2, 16)
    stem = torch.cat([dense, fields.flatten(1)], 1)
    torch.testing.assert_close(ours(dense, fields, 3), theirs(stem), rtol=1e-10, atol=1e-10)
    # A shallower candidate takes the first layers.
    (layer, *_) = theirs.layers
    torch.testing.assert_close(ours(dense, fields, 1), stem * layer(stem) + stem, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_factorised_interaction_is_that_of_the_baseline_finalnet_with_columns_in_turns(shake, double: None) -> None:
    theirs = shake(finalnet.FactorizedInteraction(5, 8, 0.0, "layer")).eval()
    inputs = Inputs({"0": 5}, 5, 5)
    ours = FactorizedInteraction(Shapes(inputs, inputs, inputs, inputs, (8,), 16))
    # Theirs has all of h₂ before all of h₁, ours turn by turn.
    order = torch.arange(8).unflatten(0, (2, 4)).t().flatten()
    ours.linear.weight["0"].copy_(theirs.linear.weight[order])
    ours.linear.bias.copy_(theirs.linear.bias[order])
    ours.norm.weight.copy_(theirs.norm.weight[order])
    ours.norm.bias.copy_(theirs.norm.bias[order])
    x = torch.randn(3, 5)
    found = ours(Read([InputSegment.of("0", x)], [], None, None), 8)
    torch.testing.assert_close(found, theirs(x)[:, order], rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_mask_is_that_of_the_baseline_masknet(shake, double: None) -> None:
    theirs = shake(masknet.MaskBlock(5, 8, 6, 0.25, 0.0, "layer")).eval()
    left, right = Inputs({"0": 5}, 5, 5), Inputs({"1": 8}, 8, 8)
    ours = Mask(Shapes(left, left, left, right, (6,), 16))
    pairs = [
        (ours.hidden.weight["0"], theirs.mask[0][0].linear.weight),
        (ours.hidden.bias, theirs.mask[0][0].linear.bias),
        (ours.mask.weight["hidden"], theirs.mask[1].weight),
        (ours.mask.bias, theirs.mask[1].bias),
        (ours.linear.weight["1"], theirs.hidden.linear.weight),
        (ours.norm.weight, theirs.hidden.norm.weight),
        (ours.norm.bias, theirs.hidden.norm.bias),
    ]
    for own, other in pairs:
        own.copy_(other)
    v, h = torch.randn(3, 5), torch.randn(3, 8)
    found = ours(Read([], [], InputSegment.of("0", v), InputSegment.of("1", h)), 6)
    torch.testing.assert_close(found, theirs(v, h), rtol=1e-10, atol=1e-10)
