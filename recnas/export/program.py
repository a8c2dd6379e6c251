"""A model as a `torch.export` program: plain tensors in, click probabilities out, nothing but torch to run it.

Sizes: B rows, d₀ dense features, n₁ single-valued sparse features, E columns of an embedding, T ids in all lists of a
multi-valued feature.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain, count, pairwise
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from recnas.data import Batch
from recnas.export.ensemble_model import EnsembleModel
from recnas.export.quantize import RoundedTable
from recnas.features.feature import SparseFeature
from recnas.features.schema import Schema
from recnas.nn.lists import rows_of
from recnas.nn.model import CTRModel
from recnas.trees.module import TreeModule

EXAMPLE_ROWS = 3
"""Rows of the example that is traced; 0 and 1 would be taken for constants."""
Rounded = Sequence[Mapping[str, RoundedTable] | None]
"""Rounded tables to look up in the place of a model's: of each member, which a single model is the only one of."""
Exportable = CTRModel | TreeModule | EnsembleModel
"""What a program can be made of; members of an ensemble are the first two."""


class ProbabilityModel(nn.Module):
    """A model over plain tensors, sharing its weights: what is traced into the program.

    Args:
        model: A finished model whose tables are held whole.
        rounded: Tables to look up in the place of the model's.
    """

    def __init__(self, model: CTRModel, rounded: Mapping[str, RoundedTable] | None = None) -> None:
        super().__init__()
        self.features: tuple[SparseFeature, ...] = model.schema.sparse
        tables = model.embeddings.tables() if rounded is None else {n: table.numbers for n, table in rounded.items()}
        scales = {} if rounded is None else {name: table.scales for name, table in rounded.items()}
        # The columns of a first-order weight are equal, and their mean is what the model reads.
        weights = {n: table.mean(1, keepdim=True) for n, table in model.embeddings.tables(first_order=True).items()}
        self.tables, self.scales, self.weights = map(self._listed, (tables, scales, weights))
        self.network = model.network

    def _listed(self, tables: Mapping[str, Tensor]) -> nn.ParameterList:
        """Tensors in the order of the features; none where a model has none of the kind."""
        listed = [tables[feature.name] for feature in self.features] if tables else []
        return nn.ParameterList(nn.Parameter(tensor, requires_grad=False) for tensor in listed)

    def forward(self, dense: Tensor, ids: Tensor, *lists: Tensor) -> Tensor:
        """Click probabilities.

        Args:
            dense: `[B, d₀]` float32, transformed; one column of zeros when the schema has no dense feature.
            ids: `[B, n₁]` int64 table rows of the single-valued features, in the schema's order.
            lists: For each multi-valued feature, in the schema's order, its table rows `[T]` int64, row after row, and
                offsets `[B + 1]` int64: row b's are those from `offsets[b]` up to `offsets[b + 1]`, and
                `offsets[B]` is T.

        Returns:
            `[B]` float32.
        """
        singles, rest = iter(ids.unbind(1)), iter(lists)
        fields = []
        for place, feature in enumerate(self.features):
            if feature.multi_valued:
                values, offsets = next(rest), next(rest)
                fields.append(pooled(self._look_up(place, values), offsets, dense.shape[0], feature.pooling))
            else:
                # The sum or mean of one embedding is that embedding.
                fields.append(self._look_up(place, next(singles)))
        return torch.sigmoid(self.network(dense, torch.stack(fields, dim=1)))

    def _look_up(self, place: int, rows: Tensor) -> Tensor:
        """Rows of a table, float32: their embeddings, then the first-order weight, as the model has one or both."""
        found = []
        if self.tables:
            embeddings = F.embedding(rows, self.tables[place])
            if self.scales:
                # Rounded ones become whole when looked up.
                embeddings = embeddings.float() * self.scales[place][rows].float().unsqueeze(1)
            found.append(embeddings)
        if self.weights:
            found.append(F.embedding(rows, self.weights[place]))
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]


class TreeProbabilityModel(nn.Module):
    """Trees over plain tensors.

    Args:
        model: The trees.
    """

    def __init__(self, model: TreeModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, dense: Tensor, ids: Tensor, *lists: Tensor) -> Tensor:
        """Click probabilities `[B]` float32; arguments as those of `ProbabilityModel`."""
        return torch.sigmoid(self.model(dense, ids, *lists)).float()


class MeanProbabilityModel(nn.Module):
    """An ensemble over plain tensors, sharing the weights of its members.

    Args:
        model: The ensemble.
        rounded: By the place of a member the tables to look up in the place of its own.
    """

    def __init__(self, model: EnsembleModel, rounded: Rounded) -> None:
        super().__init__()
        members = zip(model.members, rounded, strict=True)
        self.members = nn.ModuleList(_single(member, tables) for member, tables in members)
        self.weights, self.inputs = model.weights, model.inputs
        self.sizes = [2 + 2 * len(schema.lists) for schema in model.schemas]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Click probabilities `[B]` float32: the weighted mean of those of all members.

        Args:
            inputs: For each of the ensemble's `schemas` what `ProbabilityModel` takes, one behind the other.
        """
        starts = list(accumulate(self.sizes, initial=0))
        parts = [inputs[start:stop] for start, stop in pairwise(starts)]
        members = zip(self.members, self.weights, self.inputs, strict=True)
        return torch.stack([weight * member(*parts[fed]) for member, weight, fed in members]).sum(0)


def _single(model: CTRModel | TreeModule, rounded: Mapping[str, RoundedTable] | None) -> nn.Module:
    return TreeProbabilityModel(model) if isinstance(model, TreeModule) else ProbabilityModel(model, rounded)


def pooled(embeddings: Tensor, offsets: Tensor, rows: int, pooling: str) -> Tensor:
    """The sum or mean of the embeddings `[T, E]` of each list: `[rows, E]`, zeros for an empty one.

    ONNX has nothing like `embedding_bag`, which becomes a loop over the rows there; this becomes a few operators.
    """
    row = rows_of(offsets, rows, embeddings.shape[0])
    sums = torch.zeros(rows, embeddings.shape[1]).index_add(0, row, embeddings)
    if pooling == "sum":
        return sums
    counts = torch.zeros(rows).index_add(0, row, torch.ones_like(row, dtype=torch.float32))
    return sums / counts.clamp(min=1).unsqueeze(1)


def program_inputs(batch: Batch, schema: Schema) -> tuple[Tensor, ...]:
    """The arguments of the program for a batch: dense, ids, then table rows and offsets of each list.

    Args:
        batch: B rows, with the table rows of this schema.
        schema: The exported model's schema.

    Example:
        program = torch.export.load("program.pt2").module()
        probabilities = program(*program_inputs(batch, schema))
    """
    singles, lists = [], []
    for feature in schema.sparse:
        jagged = batch.sparse[feature.name]
        if feature.multi_valued:
            lists += [jagged.values(), jagged.offsets()]
        else:
            singles.append(jagged.values())
    ids = torch.stack(singles, dim=1) if singles else torch.empty(len(batch), 0, dtype=torch.int64)
    return (batch.dense, ids, *lists)


def export_program(model: Exportable, rounded: Rounded | None = None) -> ExportedProgram:
    """Traces a finished model into a program that takes any number of rows and lists of any length.

    Args:
        model: On the CPU, with its tables held whole. The program shares its weights.
        rounded: Tables to look up in the place of the model's; then these are shared.
    """
    rows, numbers = Dim("rows"), count()
    shapes: list[tuple[dict[int, object], ...]] = []
    for schema in model.schemas:
        lists = [({0: Dim(f"values_{next(numbers)}", min=0)}, {0: rows + 1}) for _ in schema.lists]
        shapes.append(({0: rows}, {0: rows}, *chain(*lists)))
    if isinstance(model, EnsembleModel):
        module = MeanProbabilityModel(model, [None] * len(model.members) if rounded is None else rounded)
        # All inputs are one argument to torch.
        dynamic = (tuple(chain(*shapes)),)
    else:
        module = _single(model, None if rounded is None else rounded[0])
        dense, ids, *lists = shapes[0]
        # So are all lists, which is absent when there are none.
        dynamic = (dense, ids, *([tuple(lists)] if lists else []))
    with quiet(), torch.no_grad():
        return torch.export.export(module.eval(), _example(model.schemas), dynamic_shapes=dynamic)


def save_program(model: Exportable, path: Path, rounded: Rounded | None = None) -> None:
    """Writes a finished model's program; arguments as in `export_program`.

    Raises:
        OSError: The file cannot be written.
    """
    with quiet(), open(path, "wb") as file:
        patient = _PatientFile(file)
        torch.export.save(export_program(model, rounded), patient)
    if patient.error is not None:
        raise patient.error


class _PatientFile(io.RawIOBase):
    """Keeps the first error of writing for later: torch's own writer ends the whole process at a full disk."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return len(data)


def _example(schemas: Sequence[Schema]) -> tuple[Tensor, ...]:
    """Inputs that are valid for every model of some schemas: the missing value everywhere."""
    # Sizes that are equal in the example, such as two lists' numbers of ids, would be taken for always equal.
    ids_per_row = count(2)
    found: list[Tensor] = []
    for schema in schemas:
        found.append(torch.zeros(EXAMPLE_ROWS, schema.num_dense))
        found.append(torch.zeros(EXAMPLE_ROWS, len(schema.singles), dtype=torch.int64))
        for _, ids in zip(schema.lists, ids_per_row, strict=False):
            found += [torch.zeros(EXAMPLE_ROWS * ids, dtype=torch.int64), torch.arange(EXAMPLE_ROWS + 1) * ids]
    return tuple(found)


def example_inputs(schemas: Sequence[Schema], rows: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Random inputs of the program, with lists of 0 to 3 ids."""
    generator = torch.Generator().manual_seed(seed)

    def ids(feature: SparseFeature, count: int) -> Tensor:
        return torch.randint(feature.rows, (count,), generator=generator)

    def of(schema: Schema) -> tuple[Tensor, ...]:
        lists: list[Tensor] = []
        for feature in schema.lists:
            lengths = torch.randint(4, (rows,), generator=generator)
            offsets = torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)))
            lists += [ids(feature, int(offsets[-1])), offsets]
        singles = [ids(feature, rows) for feature in schema.singles]
        single = torch.stack(singles, dim=1) if singles else torch.empty(rows, 0, dtype=torch.int64)
        return (torch.randn(rows, schema.num_dense, generator=generator), single, *lists)

    return tuple(chain(*map(of, schemas)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch's remarks on its own export format from the user; errors still come as exceptions."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
