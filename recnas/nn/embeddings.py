"""Embedding tables: TorchRec's, sharded with a fused optimiser for training, or whole for inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor, KeyedTensor, PoolingType
from torchrec.distributed import DistributedModelParallel
from torchrec.distributed.batched_embedding_kernel import BatchedFusedEmbeddingBag, EmbeddingFusedOptimizer
from torchrec.distributed.types import ShardingEnv

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.features.schema import Schema
from recnas.nn.divided import Divided, divided
from recnas.nn.first_order import with_weights
from recnas.nn.fused_rows import FusedRows
from recnas.nn.planning import Planning, learns_by_fbgemm, quiet_planner
from recnas.nn.processes import Processes, this_process
from recnas.nn.row_decay import DecayingRows
from recnas.nn.sharding import Sharding

# TorchRec asks torch.fx whether it is tracing in a way that torch remarks on, once per process.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)

WEIGHT_COLUMNS = 4
"""Columns that hold a row's first-order weight: FBGEMM takes widths of a multiple of four only.

The weight is their mean. They start alike and get the same gradient, so they stay alike, and all optimisers move the
mean exactly as they would move a single column, with an eps of four times the size. A quarter of the penalty decays it
alike: a column has a quarter of the gradient, by whose size decay is divided.
"""


class Embeddings(nn.Module):
    """One embedding table per sparse feature, looked up and pooled: `KeyedJaggedTensor` → fields `[B, n₀, E]`.

    Subclasses differ in who holds the tables. Tables start Xavier-normal, first-order weights at zero.

    Args:
        schema: The sparse features, with the rows and pooling of their tables.
        dim: Columns of an embedding, E; 0 for first-order weights alone.
        first_order: Whether each row has a first-order weight too, as linear models and factorisation machines want
            it, in a table of its own: fields are then `[B, n₀, E + 1]`, and their last column is the weight.
    """

    collection: nn.Module

    def __init__(self, schema: Schema, dim: int, first_order: bool = False) -> None:
        super().__init__()
        self.dim, self.first_order = dim, first_order
        self.features = [feature.name for feature in schema.sparse]
        # In a table that was capped the values that share an id have no row of their own.
        self._shared_rows = {
            feature.name: feature.rows - 1 for feature in schema.sparse if feature.rows - 2 == feature.shared_id
        }

    def _names(self, first_order: bool) -> dict[str, str]:
        """The name of each feature's table in the collection; none if there are no tables of that kind."""
        if not (self.first_order if first_order else self.dim):
            return {}
        # A column may have any name, a parameter's name has no dots.
        return {name: f"{'weight' if first_order else 'table'}_{index}" for index, name in enumerate(self.features)}

    def _configs(self, schema: Schema) -> list[EmbeddingBagConfig]:
        return [
            EmbeddingBagConfig(
                name=names[feature.name],
                num_embeddings=feature.rows,
                embedding_dim=columns,
                feature_names=[feature.name],
                pooling=PoolingType.MEAN if feature.pooling == "mean" else PoolingType.SUM,
                init_fn=_leave,
            )
            for names, columns in (
                (self._names(first_order=False), self.dim),
                (self._names(first_order=True), WEIGHT_COLUMNS),
            )
            if names
            for feature in schema.sparse
        ]

    @torch.no_grad()
    def _start(self, std: float | None = None) -> None:
        """Gives tables their first values: normal, of this deviation or of Xavier's.

        Every process draws every table whole, so that they are the same wherever their parts lie. What unseen values
        share begins at 0, the mean of all others: where no value is rare enough to train it, all unseen ones would have
        one and the same chance vector.
        """
        for name, table in self.divided_tables().items():
            is_here = [part.shape for part, _ in table.parts if part.device.type == "cpu"] == [table.shape]
            whole = table.whole() if is_here else torch.empty(table.shape)
            whole = nn.init.xavier_normal_(whole) if std is None else nn.init.normal_(whole, std=std)
            if name in self._shared_rows:
                whole[self._shared_rows[name]] = 0
            if not is_here:
                table.copy_from(whole)
        for weights in self.divided_tables(first_order=True).values():
            for part, _ in weights.parts:
                part.zero_()

    def forward(self, sparse: KeyedJaggedTensor) -> Tensor:
        """Looks up and pools: n₀ keys, B rows → `[B, n₀, E]`, or `[B, n₀, E + 1]`, in the schema's order."""
        looked_up = self.collection(sparse)
        pooled: KeyedTensor = looked_up if isinstance(looked_up, KeyedTensor) else looked_up.wait()
        values = pooled.values()
        if pooled.keys() != self._keys:
            by_key = pooled.to_dict()
            values = torch.cat([by_key[key] for key in self._keys], dim=1)
        if not self.first_order:
            return values.unflatten(1, (len(self.features), self.dim))
        return with_weights(values, len(self.features), WEIGHT_COLUMNS)

    @cached_property
    def _keys(self) -> list[str]:
        """The keys of what is looked up, embeddings first, each in the schema's order."""
        tables = [(name, table) for first_order in (False, True) for name, table in self._names(first_order).items()]
        # Where a feature has two tables, TorchRec tells them apart so.
        return [f"{name}@{table}" if self.first_order and self.dim else name for name, table in tables]

    def divided_tables(self, first_order: bool = False) -> dict[str, Divided]:
        """Each feature's table, of which this process may hold a part; none if there are no tables of that kind.

        Args:
            first_order: The tables of first-order weights, `[rows, 4]` with equal columns; else those of embeddings,
                `[rows, E]`.
        """
        raise NotImplementedError

    def tables(self, first_order: bool = False) -> dict[str, Tensor]:
        """The tables of `divided_tables`, sharing memory with the live ones.

        Raises:
            ValueError: Other processes hold parts of them.
        """
        return {name: table.whole() for name, table in self.divided_tables(first_order).items()}

    def load_tables(self, tables: Mapping[str, Tensor]) -> None:
        """Copies tables, by feature name, over the present ones."""
        for name, table in self.divided_tables().items():
            table.copy_from(tables[name])


class WholeEmbeddings(Embeddings):
    """Tables held in this process as ordinary parameters, for inference and for exact comparisons."""

    def __init__(self, schema: Schema, dim: int, device: torch.device | str = "cpu", first_order: bool = False) -> None:
        super().__init__(schema, dim, first_order)
        self.collection = EmbeddingBagCollection(tables=self._configs(schema), device=torch.device(device))
        self._start()

    def forward(self, sparse: KeyedJaggedTensor) -> Tensor:
        if sparse.stride() == 0:
            # TorchRec cannot part a batch without rows by features.
            return sparse.values().new_zeros(0, len(self.features), self.dim + self.first_order, dtype=torch.float32)
        return super().forward(sparse)

    def divided_tables(self, first_order: bool = False) -> dict[str, Divided]:
        bags = self.collection.embedding_bags
        return {name: Divided(bags[table].weight) for name, table in self._names(first_order).items()}


class ShardedEmbeddings(Embeddings):
    """Tables placed by TorchRec's planner and trained inside `backward` by a fused optimiser.

    Several processes that train together make it at the same time, each for itself, and look up at the same time: each
    its own rows, in tables that all have.

    Args:
        schema: See `Embeddings`.
        dim: See `Embeddings`.
        optimizer: How the tables learn.
        device: The device that holds this process's shards.
        first_order: See `Embeddings`.
        processes: The processes that hold the tables; None for this one alone.
        sharding: How tables may be split among them.
        batch_size: Rows a step of all of them together, for the planner's estimates; None: TorchRec's.
        std: The deviation of embeddings at the start; None: Xavier's.

    Raises:
        InputError: The tables do not fit, or the device does not offer how they are to learn or to be split.
    """

    def __init__(
        self,
        schema: Schema,
        dim: int,
        optimizer: EmbeddingOptimizer | None = None,
        device: torch.device | str = "cpu",
        first_order: bool = False,
        processes: Processes | None = None,
        sharding: Sharding | None = None,
        batch_size: int | None = None,
        std: float | None = None,
    ) -> None:
        super().__init__(schema, dim, first_order)
        device, self.optimizer = torch.device(device), optimizer or EmbeddingOptimizer()
        self.processes = processes or this_process(device)
        configs = self._configs(schema)
        size = self.processes.size
        rows = None if batch_size is None else max(1, batch_size // size)
        planning = Planning(configs, self.optimizer, size, device.type, sharding or Sharding(), rows)
        # What TorchRec draws on the way depends on how many processes there are; tables are to start alike.
        with quiet_planner(), torch.random.fork_rng(devices=[]):
            plan = self.processes.first(planning.plan)
            self.collection = DistributedModelParallel(
                planning.collection,
                ShardingEnv.from_process_group(self.processes.group),
                device,
                plan,
                [planning.sharder],
            )
        self.penalties = {
            feature.name: self.optimizer.penalty_of(joint=bool(feature.joint)) for feature in schema.sparse
        }
        # The sum of all steps' learning rates, by which rows know for how long they have to decay.
        self._rates, self._rate = torch.zeros(1, dtype=torch.float64), 0.0
        # TorchRec does not list them among its modules.
        lookups = (module for lookup in self.collection.module._lookups for module in lookup.modules())
        self._kernels = [module for module in lookups if isinstance(module, BatchedFusedEmbeddingBag)]
        for kernel in self._kernels:
            self._replace_rows(kernel, device)
        self._start(std)

    def _replace_rows(self, kernel: BatchedFusedEmbeddingBag, device: torch.device) -> None:
        """Puts other rows in the place of FBGEMM's, in TorchRec's module of a group of tables, where those lack
        something."""
        by_fbgemm = learns_by_fbgemm(self.optimizer, device.type)
        if by_fbgemm and not self.optimizer.decays:
            return
        penalties = {
            table: self.penalties[name] / (WEIGHT_COLUMNS if first_order else 1)
            for first_order in (False, True)
            for name, table in self._names(first_order).items()
        }
        of_tables = [penalties[table.name] for table in kernel.config.embedding_tables]
        if by_fbgemm:
            rows = DecayingRows(kernel.emb_module, of_tables, self.optimizer.eps, self._rates)
        else:
            is_mean = kernel.config.pooling == PoolingType.MEAN
            rows = FusedRows(kernel.emb_module, is_mean, self.optimizer, of_tables, self._rates)
        kernel._emb_module = rows
        kernel._optim = EmbeddingFusedOptimizer(kernel.config, rows, kernel._pg)

    def forward(self, sparse: KeyedJaggedTensor) -> Tensor:
        """Looks up and pools, see `Embeddings`; a backward pass through it is one step of the tables."""
        fields = super().forward(sparse)
        if self.optimizer.decays and fields.requires_grad:
            rate = self._rate

            def step(gradient: Tensor) -> None:
                self._rates += rate

            # It is called before the rows are updated, which use the sum that there was at their lookup.
            fields.register_hook(step)
        return fields

    def set_learning_rate(self, lr: float) -> None:
        """Sets the fused optimiser's learning rate for lookups made from now on.

        The rate that an update uses is the one at the time of its lookup, so this comes before the forward pass.
        """
        self._rate = lr
        for kernel in self._kernels:
            kernel.emb_module.set_learning_rate(lr)

    def divided_tables(self, first_order: bool = False) -> dict[str, Divided]:
        """See `Embeddings`; all rows are up to date, until the next step."""
        if self.optimizer.decays:
            for kernel in self._kernels:
                kernel.emb_module.settle()
        return self.unsettled_tables(first_order)

    def unsettled_tables(self, first_order: bool = False) -> dict[str, Divided]:
        """The tables as a training that goes on needs them: of a row the weights after its last update, without the
        decay since then. The optimizer state says how much that is."""
        state = self.collection.state_dict()
        names = self._names(first_order).values()
        return self._divided({table: state[f"embedding_bags.{table}.weight"] for table in names}, first_order)

    def divided_optimizer_state(self, first_order: bool = False) -> dict[str, dict[str, Divided]]:
        """The optimiser's state by name and by feature, each divided as the feature's table is; see `divided_tables`.

        The names are `EmbeddingOptimizer.state_names`. Moments are `[rows, E]`, or `[rows]` if there is one of a row;
        all else is `[rows]`.
        """
        states: dict[str, dict[str, ShardedTensor]] = {name: {} for name in self.optimizer.state_names}
        for kernel in self._kernels:
            # TorchRec gives the first one a name of its own.
            first = next(iter(kernel.emb_module.get_optimizer_state()[0]))
            for of_table in kernel.fused_optimizer.state_dict()["state"].values():
                for name, tensor in of_table.items():
                    table, _, state = name.partition(".")
                    state = first if state == "momentum1" else state
                    # FBGEMM keeps first moments that are not used, too.
                    if state in states:
                        states[state][table] = tensor
        names = self._names(first_order).values()
        return {
            state: self._divided({table: tensors[table] for table in names if table in tensors}, first_order)
            for state, tensors in states.items()
        }

    def decay_state(self) -> dict[str, Tensor]:
        """What decay needs beside `divided_optimizer_state`, `[1]` each: the sum of all steps' `rates`, which is live,
        `eps`, and each feature's penalty, `penalty.<feature>`; nothing if no table has a penalty."""
        if not self.optimizer.decays:
            return {}
        fixed = {"eps": self.optimizer.eps} | {f"penalty.{name}": value for name, value in self.penalties.items()}
        return {"rates": self._rates} | {
            name: torch.tensor([value], dtype=torch.float64) for name, value in fixed.items()
        }

    def _divided(self, tensors: dict[str, ShardedTensor], first_order: bool) -> dict[str, Divided]:
        found = divided(tensors, self.processes)
        return {name: found[table] for name, table in self._names(first_order).items()}

    def optimizer_state(self, first_order: bool = False) -> dict[str, dict[str, Tensor]]:
        """The whole of `divided_optimizer_state`, sharing memory with the live ones.

        Raises:
            ValueError: Other processes hold parts of them.
        """
        return {
            state: {name: tensor.whole() for name, tensor in tensors.items()}
            for state, tensors in self.divided_optimizer_state(first_order).items()
        }


def table_configs(rows: Mapping[str, int], dim: int) -> list[EmbeddingBagConfig]:
    """Tables of so many rows, by feature, to be planned."""
    return [
        EmbeddingBagConfig(name=f"table_{place}", num_embeddings=count, embedding_dim=dim, feature_names=[feature])
        for place, (feature, count) in enumerate(rows.items())
    ]


def _leave(weight: Tensor) -> None:
    """For TorchRec, which would fill each part by itself."""
