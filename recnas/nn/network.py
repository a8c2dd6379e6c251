"""Choice blocks in a chain: the supernet's dense part, and, for a space of one architecture, the finished network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from recnas.nn.dropout import dropout
from recnas.nn.elastic import PLAIN, InputSegment, WeightSlices, take
from recnas.nn.operators import Inputs, Read, Shapes, build, build_branch, submodule_name
from recnas.nn.operators.mergers import DenseToSparse, FactorizationMachine
from recnas.space import Architecture, Block, SearchSpace
from recnas.space.architecture import LAST, MERGED_FIELDS
from recnas.space.choices import BlockChoices, Subset
from recnas.space.operators import OPERATORS, Sizes

EMBEDDING_DIM = 16
"""E of the NASRec spaces."""


class ChoiceBlock(nn.Module):
    """One block with every operator and merger that its choices allow.

    Args:
        choices: The choices that the block has.
        dense: Narrowest and widest dense output of every earlier output, stem first.
        sparse: The same of the fields of sparse outputs.
        merged: For every earlier output, whether candidates never, sometimes or always append the merger's fields
            (the possible values of the choice).
        dim: Columns of an embedding, E.
    """

    def __init__(
        self,
        choices: BlockChoices,
        dense: Sequence[tuple[int, int]],
        sparse: Sequence[tuple[int, int]],
        merged: Sequence[tuple[bool, ...]],
        dim: int,
    ) -> None:
        super().__init__()
        dense_inputs = _dense_inputs(choices.dense_inputs, dense)
        sparse_inputs = _sparse_inputs(choices.sparse_inputs, sparse, merged)
        left, right = (_dense_inputs(_single(operand.values), dense) for operand in (choices.left, choices.right))
        widths = _dense_widths(choices, dense_inputs, sparse_inputs, left, right, dim)
        self.dense_bounds = min(widths), max(widths)
        self.operators = nn.ModuleDict(
            {
                submodule_name(name): build(name, Shapes(dense_inputs, sparse_inputs, left, right, output.values, dim))
                for operators, output in (
                    (choices.dense_operators, choices.dense_width),
                    (choices.sparse_operators, choices.sparse_width),
                )
                for name in operators.names
            }
        )
        self.dense_to_sparse = DenseToSparse(widths, dim) if True in choices.dense_to_sparse.values else None
        self.fm = FactorizationMachine(widths, dim) if True in choices.fm.values else None

    def forward(
        self,
        block: Block,
        dense: Sequence[InputSegment | None],
        sparse: Sequence[InputSegment | None],
        slices: WeightSlices | None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Runs one candidate's block, all of whose parts are live.

        Args:
            block: The choices to run.
            dense: Every earlier dense output `[B, width]`, None where there is none.
            sparse: Every earlier sparse output `[B, E, fields]`, the same.
            slices: Gives the slices of the weights; None for the parameters themselves.

        Returns:
            Dense output `[B, dd]`, operators' fields `[B, E, ds]`, merger's fields `[B, E, 8]`; None where absent.
        """
        read = Read(
            [dense[source] for source in block.dense_inputs],
            [sparse[source] for source in block.sparse_inputs],
            *(None if source is None else dense[source] for source in (block.left, block.right)),
        )
        dense_output, fields = (
            _add([self.operators[submodule_name(name)](read, width, slices) for name in operators])
            for operators, width in (
                (block.dense_operators, block.dense_width),
                (block.sparse_operators, block.sparse_width),
            )
        )
        merged = self.dense_to_sparse(dense_output, slices) if block.dense_to_sparse else None
        if block.fm:
            dense_output = dense_output + self.fm(fields, dense_output.shape[-1], slices)
        return dense_output, fields, merged


class LastLayer(nn.Module):
    """Linear with bias over dense columns, flattened fields and the branches' columns → one logit.

    Each dense column, and each channel of each field, keeps its own weight whatever the widths in use.

    Args:
        sizes: The shape of a row of each of its inputs, at its widest: `(columns,)`, or `(E, fields)`.
    """

    def __init__(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        bound = (6 / (sum(math.prod(size) for size in sizes.values()) + 1)) ** 0.5
        self.weight = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(size).uniform_(-bound, bound))
                for name, size in sizes.items()
                if size[-1] > 0
            }
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: dict[str, Tensor], slices: WeightSlices | None = None) -> Tensor:
        """Any of its inputs, `[B, columns]` or `[B, E, fields]`, by name → logits `[B]`."""
        bias = take(self, self.bias, (1,), slices)
        weights = [
            take(self, self.weight[name], tuple(x.shape[1:]), slices).reshape(1, -1) for name, x in inputs.items()
        ]
        flat = [x.flatten(1) for x in inputs.values()]
        logit = (slices or PLAIN).linear(self, flat, weights, bias)
        return logit.squeeze(-1)


class ChoiceNetwork(nn.Module):
    """Every candidate of a search space in one set of weights, from features and embedded fields to the logit.

    Args:
        space: The candidates. With `SearchSpace.only(arch)` this is the finished network of `arch`, and `architecture`
            is its canonical form; otherwise that is None.
        num_dense: Number of dense features, d₀.
        num_sparse: Number of sparse features, n₀.
        dim: Columns of an embedding, E.
        dropout: Chance that an element of a block's dense output is set to zero in training.

    Example:
        >>> network = ChoiceNetwork(space := SearchSpace.named("nasrec-small"), num_dense=13, num_sparse=26)
        >>> arch = space.sample(random.Random(0))
        >>> network(torch.randn(4, 13), torch.randn(4, 26, 16), arch).shape
        torch.Size([4])
    """

    def __init__(
        self,
        space: SearchSpace,
        num_dense: int,
        num_sparse: int,
        dim: int = EMBEDDING_DIM,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.space, self.num_dense, self.num_sparse, self.dim = space, num_dense, num_sparse, dim
        self.dropout = dropout
        dense: list[tuple[int, int]] = [(num_dense, num_dense)]
        sparse: list[tuple[int, int]] = [(num_sparse, num_sparse)]
        merged: list[tuple[bool, ...]] = [(False,)]
        blocks = []
        for choices in space.blocks:
            blocks.append(ChoiceBlock(choices, dense, sparse, merged, dim))
            dense.append(blocks[-1].dense_bounds)
            sparse.append((min(choices.sparse_width.values), max(choices.sparse_width.values)))
            merged.append(choices.dense_to_sparse.values)
        self.blocks = nn.ModuleList(blocks)
        columns = num_dense + num_sparse * dim
        branches: dict[str, int] = {}
        for name, depth in space.branches.items():
            if deepest := max(depth.values):
                branches[submodule_name(name)] = columns
                self.add_module(submodule_name(name), build_branch(name, columns, deepest))
        columns_read, fields_read = space.logit_sources()
        last: dict[str, tuple[int, ...]] = {}
        for source in columns_read:
            last[self.logit_name("dense", source)] = (dense[source][1],)
        for source in fields_read:
            last[self.logit_name("fields", source)] = (dim, sparse[source][1])
            last[self.logit_name("merged", source)] = (dim, MERGED_FIELDS if True in merged[source] else 0)
        self.last = LastLayer(last | {name: (columns,) for name, columns in branches.items()})
        self.architecture = space.first().canonical() if space.size() == 1 else None

    def forward(
        self, dense: Tensor, fields: Tensor, arch: Architecture | None = None, slices: WeightSlices | None = None
    ) -> Tensor:
        """Computes logits with the live parts of one candidate.

        Args:
            dense: Dense features `[B, d₀]`.
            fields: Embedded sparse features `[B, n₀, E]`.
            arch: The candidate; may be left out when the space holds only one.
            slices: Gives the slices of the weights; None for the parameters themselves.

        Returns:
            Logits `[B]`.
        """
        if (arch := self.architecture if arch is None else arch.canonical()) is None:
            raise ValueError(f"{self.space.name} holds many architectures; say which to compute")
        dense_outputs: list[InputSegment | None] = [InputSegment.of("0", dense)]
        sparse_outputs: list[InputSegment | None] = [InputSegment.of("0", fields.transpose(1, 2).contiguous())]
        for index, (module, block) in enumerate(zip(self.blocks, arch.blocks, strict=True), start=1):
            dense_output, block_fields, merged = module(block, dense_outputs, sparse_outputs, slices)
            if self.dropout and dense_output is not None:
                dense_output = dropout(dense_output, self.dropout, self.training)
            dense_outputs.append(None if dense_output is None else InputSegment.of(str(index), dense_output))
            sparse_outputs.append(_join(index, block_fields, merged))
        parts: dict[str, Tensor] = {}
        columns_read, fields_read = arch.logit_inputs()
        for source in columns_read:
            if (segment := dense_outputs[source]) is not None:
                parts[self.logit_name("dense", source)] = segment.x
        for source in fields_read:
            for name, x in _apart(sparse_outputs[source]):
                parts[self.logit_name("merged" if name == merged_name(source) else "fields", source)] = x
        for branch, depth in arch.branches:
            if (name := submodule_name(branch)) not in self.last.weight:
                raise ValueError(f"the branch {branch} is asked for where there is none")
            parts[name] = self.get_submodule(name)(dense, fields, depth, slices)
        return self.last(parts, slices)

    def logit_name(self, kind: str, source: int) -> str:
        """What the last layer calls the dense columns, the fields or the merged fields of an output: of the last block
        the kind alone, where it reads that only."""
        return kind if self.space.logit == LAST else f"{kind}_{source}"

    @torch.no_grad()
    def extract(self, arch: Architecture) -> ChoiceNetwork:
        """The finished network of a candidate, with a copy of the weights it inherits and nothing else."""
        arch = arch.canonical()
        network = ChoiceNetwork(SearchSpace.only(arch), self.num_dense, self.num_sparse, self.dim)
        weights = dict(self.named_parameters())
        for name, parameter in network.named_parameters():
            shared = weights[name][tuple(slice(size) for size in parameter.shape)]
            # Gating's padded square is wider than its source's own columns; what the padding meets stays zero.
            parameter.zero_()[tuple(slice(size) for size in shared.shape)] = shared
        return network.to(next(self.parameters()).device)


def merged_name(index: int) -> str:
    """The source name of the eight fields that block `index`'s dense→sparse merger appends."""
    return f"{index}_merged"


def _join(index: int, fields: Tensor | None, merged: Tensor | None) -> InputSegment | None:
    pieces = [
        InputSegment.of(name, x) for name, x in ((str(index), fields), (merged_name(index), merged)) if x is not None
    ]
    if len(pieces) < 2:
        return pieces[0] if pieces else None
    return InputSegment(torch.cat([piece.x for piece in pieces], dim=-1), tuple(piece.parts[0] for piece in pieces))


def _apart(segment: InputSegment | None) -> Iterator[tuple[str, Tensor]]:
    """The fields of each source, `[B, E, fields]`."""
    if segment is not None:
        names, widths = zip(*segment.parts, strict=True)
        yield from zip(names, segment.x.split(widths, dim=-1) if len(widths) > 1 else [segment.x], strict=True)


def _dense_widths(
    choices: BlockChoices, dense: Inputs, sparse: Inputs, left: Inputs, right: Inputs, dim: int
) -> tuple[int, ...]:
    """The widths that a block's dense output may have; of what follows from its inputs the least and the greatest."""
    widths, chosen = choices.dense_width.values, set[int]()
    for name in choices.dense_operators.names:
        operator = OPERATORS[name]
        if not operator.sets_width:
            chosen.update(widths)
            continue
        for least in (True, False):
            sizes = [read.narrowest if least else read.widest for read in (dense, sparse, left, right)]
            chosen.add(operator.output_width(Sizes(*sizes, max(widths), dim)))
    return tuple(chosen) or widths


def _add(outputs: list[Tensor]) -> Tensor | None:
    return sum(outputs[1:], start=outputs[0]) if outputs else None


def _single(operands: tuple[int | None, ...]) -> Subset:
    """The choice of one of some outputs, as one of inputs."""
    return Subset(tuple(source for source in operands if source is not None), range(1, 2))


def _dense_inputs(inputs: Subset, dense: Sequence[tuple[int, int]]) -> Inputs:
    sources = {str(source): dense[source][1] for source in inputs.pool}
    return _inputs(sources, [dense[source] for source in inputs.pool], inputs.counts)


def _sparse_inputs(inputs: Subset, sparse: Sequence[tuple[int, int]], merged: Sequence[tuple[bool, ...]]) -> Inputs:
    sources: dict[str, int] = {}
    bounds = []
    for source in inputs.pool:
        narrowest, widest = sparse[source]
        if widest > 0:
            sources[str(source)] = widest
        if True in merged[source]:
            sources[merged_name(source)] = MERGED_FIELDS
        extra = [MERGED_FIELDS * choice for choice in merged[source]]
        bounds.append((narrowest + min(extra), widest + max(extra)))
    return _inputs(sources, bounds, inputs.counts)


def _inputs(sources: dict[str, int], bounds: list[tuple[int, int]], counts: range) -> Inputs:
    narrowest = sorted(low for low, _ in bounds)[: counts[0]]
    widest = sorted((high for _, high in bounds), reverse=True)[: counts[-1]]
    return Inputs(sources, sum(narrowest), sum(widest))
