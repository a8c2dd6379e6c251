"""FuxiCTR's layers, put together as its repository's models are, and its loop and loader of NumPy files.

Its package has the loop and the layers, and of whole models but few.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from trainers.case import (
    CLIP,
    CROSS_LAYERS,
    DCN_HIDDEN,
    DEEPFM_HIDDEN,
    DIM,
    DLRM_BOTTOM,
    DLRM_TOP,
    LEARNING_RATE,
    Case,
    Clock,
    Log,
    count_macs,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.dataloaders import RankDataLoader
    from fuxictr.pytorch.layers import (
        CrossNetV2,
        FactorizationMachine,
        FeatureEmbedding,
        InnerProductInteraction,
        MLP_Block,
    )
    from fuxictr.pytorch.models import BaseModel


class Model(BaseModel):
    """What its models have in common."""

    def __init__(self, features: FeatureMap, case: Case) -> None:
        super().__init__(
            features,
            verbose=0,
            model_root=".",
            metrics=["logloss"],
            embedding_regularizer=case.penalty or None,
        )
        self.make(features, case.dropout)
        self.compile(case.optimizer.capitalize(), "binary_crossentropy", LEARNING_RATE)
        self.reset_parameters()

    def make(self, features: FeatureMap, dropout: float) -> None:
        raise NotImplementedError

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y_pred": self.output_activation(self.logits(self.get_inputs(inputs)))}


class DeepFM(Model):
    def make(self, features: FeatureMap, dropout: float) -> None:
        self.embedding_layer = FeatureEmbedding(features, DIM)
        self.machine = FactorizationMachine(features)
        width = features.sum_emb_out_dim()
        self.deep = MLP_Block(width, list(DEEPFM_HIDDEN), output_dim=1, dropout_rates=dropout)

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        fields = self.embedding_layer(inputs)
        return self.machine(inputs, fields) + self.deep(fields.flatten(1))


class DCNV2(Model):
    def make(self, features: FeatureMap, dropout: float) -> None:
        self.embedding_layer = FeatureEmbedding(features, DIM)
        width = features.sum_emb_out_dim()
        self.cross = CrossNetV2(width, CROSS_LAYERS)
        self.deep = MLP_Block(width, list(DCN_HIDDEN), dropout_rates=dropout)
        self.last = nn.Linear(width + DCN_HIDDEN[-1], 1)

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        x = self.embedding_layer(inputs, flatten_emb=True)
        return self.last(torch.cat([self.cross(x), self.deep(x)], dim=-1))


class DLRM(Model):
    def make(self, features: FeatureMap, dropout: float) -> None:
        self.numbers = [name for name, spec in features.features.items() if spec["type"] == "numeric"]
        self.embedding_layer = FeatureEmbedding(features, DIM, not_required_feature_columns=self.numbers)
        self.bottom = MLP_Block(
            len(self.numbers), list(DLRM_BOTTOM), output_dim=DIM, output_activation="ReLU", dropout_rates=dropout
        )
        vectors = features.num_fields - len(self.numbers) + 1
        self.interaction = InnerProductInteraction(vectors, output="inner_product")
        self.top = MLP_Block(DIM + vectors * (vectors - 1) // 2, list(DLRM_TOP), output_dim=1, dropout_rates=dropout)

    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        # Its repository's joins columns end to end, which its loader of this version gives without a second dimension.
        below = self.bottom(torch.stack([inputs[name] for name in self.numbers], dim=1).float())
        vectors = torch.cat([self.embedding_layer(inputs), below.unsqueeze(1)], dim=1)
        return self.top(torch.cat([self.interaction(vectors), below], dim=1))


MODELS = {"deepfm": DeepFM, "dcnv2": DCNV2, "dlrm": DLRM}


def train(case: Case, log: Log, clock: Clock) -> None:
    num_dense = np.load(log.folder / "dense.npy", mmap_mode="r").shape[1]
    features = FeatureMap("log", str(log.folder))
    features.features = {f"I{place}": {"type": "numeric", "source": ""} for place in range(num_dense)}
    features.features |= {
        f"C{place}": {"type": "categorical", "source": "", "vocab_size": size} for place, size in enumerate(log.tables)
    }
    features.labels, features.default_emb_dim = ["label"], DIM
    features.num_fields = len(features.features)
    features.set_column_index()
    model = MODELS[case.model](features, case).train()
    loader = RankDataLoader(
        features, "train", str(_as_npz(log)), batch_size=case.batch_size, shuffle=True, data_format="npz"
    )[0]
    example = {
        name: torch.zeros(8, dtype=torch.float32 if spec["type"] == "numeric" else torch.int64)
        for name, spec in features.features.items()
    }
    clock.macs = count_macs(lambda: model(example), 8)
    # What `fit` sets before it calls `train_epoch`; no pass ends with a measurement on validation rows.
    model._max_gradient_norm, model._eval_steps = CLIP, float("inf")
    model._total_steps, model._epoch_index, model._stop_training = 0, 0, False
    while True:
        model.train_epoch(clock.over(loader, case.batch_size))


def _as_npz(log: Log):
    path = log.folder / "fuxictr.npz"
    if not path.exists():
        dense, ids = log.dense, log.ids
        columns = {f"I{place}": dense[:, place] for place in range(dense.shape[1])}
        columns |= {f"C{place}": ids[:, place] for place in range(ids.shape[1])}
        part = path.with_name("part.npz")
        np.savez(part, label=log.label, **columns)
        part.rename(path)
    return path
