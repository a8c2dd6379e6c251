"""TorchRec's DLRM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.baselines.comparison import (
    DIM,
    NUM_DENSE,
    NUM_SPARSE,
    ROWS,
    SPARSE,
    TABLE_ROWS,
    Comparison,
    Inputs,
    compare,
    copy,
    copy_linears,
    count,
)


class TorchRec:
    """Its whole model."""

    def dlrm(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
        from torchrec.models.dlrm import DLRM

        tables = [
            EmbeddingBagConfig(name=name, embedding_dim=DIM, num_embeddings=TABLE_ROWS, feature_names=[name])
            for name in SPARSE
        ]
        model = DLRM(EmbeddingBagCollection(tables=tables), NUM_DENSE, [512, 256, 64, DIM], [512, 256, 1])
        copy_linears(network, model)
        bags = model.sparse_arch.embedding_bag_collection.embedding_bags
        copy((inputs.tables[place], bags[name].weight) for place, name in enumerate(SPARSE))
        lengths = torch.ones(ROWS * NUM_SPARSE, dtype=torch.int32)
        sparse = KeyedJaggedTensor(SPARSE, inputs.ids.t().flatten(), lengths=lengths)
        return model(inputs.dense, sparse), count(model)

    def compare(self) -> list[Comparison]:
        return [compare("dlrm", "TorchRec, whole model", self.dlrm, as_fields=False)]
