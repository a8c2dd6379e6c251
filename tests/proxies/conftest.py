"""Small supernets and batches in double precision, and a candidate's gradients by plain autograd over whole parameters.

What proxies are checked against knows of slices, passes, recorders and kernels nothing: it differentiates the extracted
network over whole parameters and whole embedding tables, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchrec import KeyedJaggedTensor

from recnas.data import Batch, Dataset
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn.elastic import ElasticLinear
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet
from recnas.nn.network import ChoiceNetwork
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.inputs import ProxyInputs
from recnas.space import Architecture, GrammarSpace, SearchSpace
from recnas.space.choices import BlockChoices, OneOf
from recnas.space.cost import output_widths

NARROW = {"dense_width": OneOf((16, 24, 32, 128)), "sparse_width": OneOf((6, 16))}
"""With them nothing is slow, and every layer that some width spares is spared now and then."""


def _narrowed(choices: BlockChoices) -> BlockChoices:
    """A block's choices with narrow widths of whatever it gives."""
    given = {"dense_width": choices.dense_operators.names, "sparse_width": choices.sparse_operators.names}
    return replace(choices, **{name: widths for name, widths in NARROW.items() if given[name]})


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(
        "label",
        tuple(DenseFeature(f"d{index}", {"name": "log1p"}) for index in range(3)),
        (SparseFeature("a", 7), SparseFeature("tags", 9, pooling="mean", multi_valued=True), SparseFeature("b", 30)),
        {split: {"rows": 10, "positives": 5} for split in SPLITS},
    )


@pytest.fixture(scope="session")
def make_batch(schema: Schema) -> Callable[..., Batch]:
    """Random features; the multi-valued one has one to three ids, some of them twice in a row."""

    def make(generator: torch.Generator, rows: int = 6) -> Batch:
        several = torch.randint(1, 4, (rows,), generator=generator)
        lengths = torch.cat((torch.ones(rows), several, torch.ones(rows))).long()
        counts = lengths.view(3, rows).sum(1).tolist()
        values = [
            torch.randint(0, feature.rows, (count,), generator=generator)
            for feature, count in zip(schema.sparse, counts, strict=True)
        ]
        keys = [feature.name for feature in schema.sparse]
        sparse = KeyedJaggedTensor(keys=keys, values=torch.cat(values), lengths=lengths)
        dense = torch.randn(rows, 3, generator=generator)
        return Batch(dense, sparse, torch.rand(rows, generator=generator).round())

    return make


@pytest.fixture(scope="session")
def make_supernet(schema: Schema) -> Callable[..., Supernet]:
    """A supernet of a named space, or of its narrow form, with every parameter away from its start value."""

    @torch.no_grad()
    def make(space: str, narrow: bool = False) -> Supernet:
        torch.manual_seed(0)
        whole = SearchSpace.named(space)
        blocks = tuple(_narrowed(choices) for choices in whole.blocks)
        # The widths of a grammar are in its rules.
        narrowed = whole if isinstance(whole, GrammarSpace) else replace(whole, name="narrow", blocks=blocks)
        supernet = Supernet(schema, ShardedEmbeddings(schema, 16), narrowed if narrow else whole)
        for parameter in supernet.network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        for layer in supernet.network.modules():
            if isinstance(layer, ElasticLinear) and layer.bias_mask is not None:
                # What no candidate adds is never learned.
                layer.bias *= layer.bias_mask
        return supernet

    return make


def look_up(schema: Schema, batch: Batch, tables: dict[str, Tensor]) -> Tensor:
    """Fields `[B, n₀, E]`, row by row."""
    columns = []
    for feature in schema.sparse:
        ids = batch.sparse[feature.name]
        bags = torch.split(ids.values(), ids.lengths().tolist())
        pool = torch.mean if feature.pooling == "mean" else torch.sum
        columns.append(torch.stack([pool(tables[feature.name][bag], dim=0) for bag in bags]))
    return torch.stack(columns, dim=1)


@dataclass
class PlainModule:
    """A leaf layer or a table: its elements `[n]`, and their gradients `[N, n]`."""

    weights: Tensor
    gradients: Tensor


@dataclass
class Plain:
    """What plain autograd says about a candidate; a table's elements are those of its touched rows."""

    modules: list[PlainModule]
    losses: list[float]


class Case:
    """A supernet in double precision and batches for its candidates.

    Attributes:
        supernet, batches: They.
        proxy_batches: The batches, as scoring holds them.
    """

    def __init__(self, supernet: Supernet, batches: Sequence[Batch]) -> None:
        self.supernet, self.batches = supernet, list(batches)
        self.proxy_batches = ProxyBatches(supernet, batches)
        supernet.network.double()
        self.tables = {name: table.double() for name, table in supernet.embeddings.tables().items()}
        self.proxy_batches.looked_up = [
            replace(looked_up, dense=batch.dense.double(), fields=look_up(supernet.schema, batch, self.tables))
            for looked_up, batch in zip(self.proxy_batches.looked_up, batches, strict=True)
        ]
        self.proxy_batches.tables = [(rows, weights.double()) for rows, weights in self.proxy_batches.tables]

    def candidate(self, arch: Architecture) -> ProxyInputs:
        return ProxyInputs(ScoringContext.of(self.supernet, self.proxy_batches), arch)

    def network(self, arch: Architecture) -> ChoiceNetwork:
        """The finished network of a candidate."""
        return self.supernet.network.extract(arch).double()

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Dense features, fields and labels of all batches' rows."""
        dense = torch.cat([batch.dense for batch in self.batches]).double()
        fields = torch.cat([look_up(self.supernet.schema, batch, self.tables) for batch in self.batches])
        return dense, fields, torch.cat([batch.label for batch in self.batches]).double()

    def plain(self, arch: Architecture) -> Plain:
        """Differentiates a candidate over whole double-precision tables and whole parameters."""
        network = self.network(arch)
        tables = {name: nn.Parameter(table.clone()) for name, table in self.tables.items()}
        parameters = [*network.parameters(), *tables.values()]
        gradients, losses = [], []
        for batch in self.batches:
            logits = network(batch.dense.double(), look_up(self.supernet.schema, batch, tables))
            loss = F.binary_cross_entropy_with_logits(logits, batch.label.double())
            gradients.append(torch.autograd.grad(loss, parameters, materialize_grads=True))
            losses.append(loss.item())
        layers: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for index, (name, parameter) in enumerate(network.named_parameters()):
            # A leaf layer is above a parameter's name: `….linear.weight.3`, `….norm.bias`.
            layer = name.rsplit(".weight", 1)[0] if ".weight" in name else name.rsplit(".bias", 1)[0]
            here = self._not_padding(name, arch.canonical())
            item = parameter.detach()[here].flatten(), torch.stack([each[index][here].flatten() for each in gradients])
            layers.setdefault(layer, []).append(item)
        read = {source for block in arch.canonical().blocks for source in block.sparse_inputs}
        if arch.branches or 0 in read.union(arch.logit_inputs()[1]):
            for index, (name, table) in enumerate(tables.items(), start=len(parameters) - len(tables)):
                touched = torch.cat([batch.sparse[name].values() for batch in self.batches]).unique()
                rows = torch.stack([each[index][touched].flatten() for each in gradients])
                layers[f"table {name}"] = [(table.detach()[touched].flatten(), rows)]
        modules = [
            PlainModule(torch.cat([weights for weights, _ in items]), torch.cat([each for _, each in items], dim=1))
            for items in layers.values()
        ]
        return Plain(modules, losses)

    def _not_padding(self, name: str, arch: Architecture) -> tuple[slice, ...]:
        """Which elements of a finished network's parameter a candidate has.

        They differ in Gating only, which is finished with matrices for operands of one width, the wider one's.
        """
        _, number, *path = name.split(".")
        if path[1:2] != ["gating"]:
            return (slice(None),)
        block, widths = arch.blocks[int(number)], output_widths(arch, self.supernet.network.num_dense, 1)[0]
        left, right = slice(widths[block.left]), slice(widths[block.right])
        if path[2] == "gate":
            return (right, left) if path[3] == "weight" else (right,)
        return (slice(None), right) if path[2:4] == ["linear", "weight"] else (slice(None),)


@pytest.fixture
def make_case(make_supernet, make_batch) -> Callable[..., Case]:
    """A case of a named space."""

    def make(space: str, batches: int = 4, rows: int = 6, narrow: bool = True) -> Case:
        generator = torch.Generator().manual_seed(1)
        return Case(make_supernet(space, narrow), [make_batch(generator, rows) for _ in range(batches)])

    return make


@pytest.fixture(scope="session")
def dataset(schema: Schema, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Rows of the schema's features: 90 to train on, 40 to validate on, 10 to test on."""
    folder, random = tmp_path_factory.mktemp("data") / "set", np.random.default_rng(0)
    splits = {}
    for split, size in zip(SPLITS, (90, 40, 10), strict=True):
        (folder / split).mkdir(parents=True)
        label = random.permutation(np.arange(size) % 3 == 0).astype(np.int8)
        splits[split] = {"rows": size, "positives": int(label.sum())}
        columns = {"label": pa.array(label)}
        for feature in schema.dense:
            columns[feature.name] = pa.array(random.normal(size=size) + label)
        for feature in schema.sparse:
            ids = [random.integers(2**32, size=random.integers(1, 4)).tolist() for _ in range(size)]
            columns[feature.name] = (
                pa.array(ids, pa.list_(pa.uint32()))
                if feature.multi_valued
                else pa.array([each[0] for each in ids], pa.uint32())
            )
        pq.write_table(pa.table(columns), folder / split / "part-00000.parquet", row_group_size=32)
    replace(schema, splits=splits).save(folder)
    return Dataset(folder)


@pytest.fixture
def double() -> Iterator[None]:
    """Everything new is in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
