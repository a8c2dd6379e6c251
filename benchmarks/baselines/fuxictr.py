"""FuxiCTR's package: its layers, put together as its repository's models are."""

from __future__ import annotations

import types

import torch
from torch import Tensor, nn

from benchmarks.baselines.comparison import (
    DENSE,
    DIM,
    SPARSE,
    TABLE_ROWS,
    Comparison,
    Inputs,
    compare,
    copy,
    copy_linears,
    count,
    linears,
    stand_in,
)


class FuxiCTR:
    """FuxiCTR's layers, put together as its repository's models are."""

    def __init__(self) -> None:
        stand_in("h5py")
        stand_in("ray", "ray.data", "ray.data.datasource", "ray.data.datasource.filename_provider")
        from fuxictr.pytorch import layers

        self.layers = layers
        features = {name: {"type": "numeric", "source": ""} for name in DENSE}
        features |= {name: {"type": "categorical", "source": "", "vocab_size": TABLE_ROWS} for name in SPARSE}
        self.features = types.SimpleNamespace(features=features, num_fields=len(features), data_dir=".")

    def embeddings(self, network: nn.Module, inputs: Inputs, first_order: bool = False) -> nn.Module:
        """Its embeddings, or its linear part, with our numbers."""
        module = (
            self.layers.LogisticRegression(self.features)
            if first_order
            else self.layers.FeatureEmbedding(self.features, DIM)
        )
        inner = (module.embedding_layer if first_order else module).embedding_layer.embedding_layers
        own = inputs.number_weights if first_order else inputs.vectors
        tables = inputs.weights if first_order else inputs.tables
        copy((own[place], inner[name].weight) for place, name in enumerate(DENSE))
        copy((tables[place], inner[name].weight) for place, name in enumerate(SPARSE))
        if first_order:
            copy([(network.linear.bias, module.bias)])
        return module

    def mlp(self, ours: nn.Module, inputs: int, hidden: tuple[int, ...], last: nn.Linear | None = None) -> nn.Module:
        """Its MLP with our weights; with a last layer, whose bias is zero if ours has none."""
        module = self.layers.MLP_Block(inputs, list(hidden), output_dim=None if last is None else 1)
        copy_linears(nn.ModuleList([ours] if last is None else [ours, last]), module)
        if last is not None and last.bias is None:
            nn.init.zeros_(list(linears(module))[-1].bias)
        return module

    @staticmethod
    def batch(inputs: Inputs) -> dict[str, Tensor]:
        return dict(zip(DENSE, inputs.dense.t(), strict=True)) | dict(zip(SPARSE, inputs.ids.t(), strict=True))

    def lr(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.embeddings(network, inputs, first_order=True)
        return model(self.batch(inputs)), count(model)

    def deepfm(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        embeddings, batch = self.embeddings(network, inputs), self.batch(inputs)
        machine = self.layers.FactorizationMachine(self.features)
        machine.lr_layer = self.embeddings(network, inputs, first_order=True)
        deep = self.mlp(network.deep, len(batch) * DIM, (400, 400, 400), network.last)
        vectors = embeddings(batch)
        return machine(batch, vectors) + deep(vectors.flatten(1)), count(embeddings, machine, deep)

    def xdeepfm(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        embeddings, batch = self.embeddings(network, inputs), self.batch(inputs)
        linear = self.embeddings(network, inputs, first_order=True)
        interactions = self.layers.CompressedInteractionNet(len(batch), [200, 200, 200])
        for ours, theirs in zip(network.interactions.layers, interactions.cin_layer.values(), strict=True):
            copy([(ours.linear.weight, theirs.weight), (ours.linear.bias, theirs.bias)])
        copy([(network.last_interactions.weight, interactions.fc.weight)])
        nn.init.zeros_(interactions.fc.bias)
        deep = self.mlp(network.deep, len(batch) * DIM, (400, 400), network.last_deep)
        vectors = embeddings(batch)
        logits = linear(batch) + interactions(vectors) + deep(vectors.flatten(1))
        return logits, count(embeddings, linear, interactions, deep)

    def dcnv2(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        embeddings, batch = self.embeddings(network, inputs), self.batch(inputs)
        cross = self.layers.CrossNetV2(len(batch) * DIM, 3)
        copy_linears(network.cross, cross)
        deep = self.mlp(network.deep, len(batch) * DIM, (768, 768))
        last = nn.Linear(network.last.in_features, 1)
        copy_linears(network.last, last)
        x = embeddings(batch, flatten_emb=True)
        return last(torch.cat([cross(x), deep(x)], dim=-1)), count(embeddings, cross, deep, last)

    def finalmlp(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        from model_zoo.LongCTR.FinalMLP.FinalMLP import FeatureSelection, InteractionAggregation

        embeddings, batch = self.embeddings(network, inputs), self.batch(inputs)
        width = len(batch) * DIM
        selection = FeatureSelection(self.features, width, DIM, [64])
        for stream, context, gate in (
            (network.stream_1, selection.fs1_ctx_bias, selection.fs1_gate),
            (network.stream_2, selection.fs2_ctx_bias, selection.fs2_gate),
        ):
            copy([(stream[0].context, context)])
            copy_linears(stream[0], gate)
        streams = [self.mlp(stream[1], width, (400, 400, 400)) for stream in (network.stream_1, network.stream_2)]
        fusion = InteractionAggregation(400, 400)
        copy([(network.fusion.linear_x.weight, fusion.w_x.weight), (network.fusion.linear_x.bias, fusion.w_x.bias)])
        copy([(network.fusion.linear_y.weight, fusion.w_y.weight)])
        nn.init.zeros_(fusion.w_y.bias)
        copy([(network.fusion.bilinear, fusion.w_xy)])
        gated = selection(batch, embeddings(batch, flatten_emb=True))
        return fusion(*(mlp(x) for mlp, x in zip(streams, gated, strict=True))), count(
            embeddings, selection, *streams, fusion
        )

    def compare(self) -> list[Comparison]:
        return [
            compare("lr", "FuxiCTR, whole model", self.lr),
            compare("deepfm", "FuxiCTR, its layers", self.deepfm, excess=1),
            compare("xdeepfm", "FuxiCTR, its layers", self.xdeepfm, excess=2),
            compare("dcnv2", "FuxiCTR, its layers", self.dcnv2),
            compare("finalmlp", "FuxiCTR, its layers", self.finalmlp, excess=1),
        ]
