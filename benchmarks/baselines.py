"""The baselines beside public implementations: parameters, and outputs with copied weights.

pip install --no-deps --target build/public fuxictr==2.3.10 deepctr-torch==0.3.0
PYTHONPATH=build/public python benchmarks/baselines.py

Each model is made twice, here and from the other library's parts, gets the same weights, and predicts the same rows.
FuxiCTR's package has layers, and of whole models only FinalMLP's parts: its models are put together here as in its
repository. DeepCTR-Torch keeps dense features out of its interactions, so its models get sparse features alone.
Biases: FuxiCTR adds up to three to a logit where one does the same; those in excess are left at zero.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recnas.candidates.families import FAMILIES
from recnas.nn.baselines.autoint import AutoIntPlus
from recnas.nn.baselines.registry import find_baseline

ROWS, NUM_DENSE, NUM_SPARSE, DIM, TABLE_ROWS = 64, 4, 6, 16, 20
DENSE = [f"d{index}" for index in range(NUM_DENSE)]
SPARSE = [f"s{index}" for index in range(NUM_SPARSE)]


@dataclass(frozen=True)
class Inputs:
    """Rows to predict, and the tables that both implementations look up.

    Attributes:
        dense: `[B, d₀]`.
        ids: Table rows `[B, n₀]`.
        tables: Embeddings `[n₀, rows, E]`.
        weights: First-order weights `[n₀, rows]`.
    """

    dense: Tensor
    ids: Tensor
    tables: Tensor
    weights: Tensor

    @classmethod
    def draw(cls, num_dense: int) -> Inputs:
        torch.manual_seed(1)
        return cls(
            torch.randn(ROWS, num_dense),
            torch.randint(TABLE_ROWS, (ROWS, NUM_SPARSE)),
            0.3 * torch.randn(NUM_SPARSE, TABLE_ROWS, DIM),
            0.3 * torch.randn(NUM_SPARSE, TABLE_ROWS),
        )

    def fields(self, dim: int, first_order: bool) -> Tensor:
        """What our networks take: `[B, n₀, E]`, `[B, n₀, E + 1]` or `[B, n₀, 1]`."""
        place = torch.arange(NUM_SPARSE)
        parts = [self.tables[place, self.ids]] if dim else []
        return torch.cat([*parts, self.weights[place, self.ids].unsqueeze(-1)] if first_order else parts, dim=-1)

    def table_parameters(self, dim: int, first_order: bool) -> int:
        """One number a column of the tables that a model reads; a first-order weight counts as one."""
        return (self.tables.numel() if dim else 0) + (self.weights.numel() if first_order else 0)


@dataclass(frozen=True)
class Comparison:
    """One model beside one implementation; `excess` are the parameters of biases that do nothing."""

    model: str
    implementation: str
    ours: int
    theirs: int
    excess: int
    difference: float


@torch.no_grad()
def copy(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copies each first tensor's numbers over the second, in the second's shape."""
    for source, target in pairs:
        target.copy_(source.reshape(target.shape))


def linears(module: nn.Module) -> Iterator[nn.Linear]:
    """Its linear layers, in the order they were made."""
    return (layer for layer in module.modules() if isinstance(layer, nn.Linear))


def copy_linears(ours: nn.Module, theirs: nn.Module | Iterable[nn.Module]) -> None:
    """Copies linear layers one by one."""
    others = linears(theirs) if isinstance(theirs, nn.Module) else theirs
    for layer, other in zip(linears(ours), others, strict=True):
        copy([(layer.weight, other.weight)])
        if layer.bias is not None:
            copy([(layer.bias, other.bias)])


def count(*modules: nn.Module) -> int:
    return sum(item.numel() for module in modules for item in module.parameters() if item.requires_grad)


def compare(
    name: str,
    implementation: str,
    other: Callable[[nn.Module, Inputs], tuple[Tensor, int]],
    num_dense: int = NUM_DENSE,
    excess: int = 0,
    network: nn.Module | None = None,
) -> Comparison:
    """Makes our network, lets `other` copy its weights, and compares; `other` gives logits and its parameters."""
    torch.manual_seed(0)
    baseline, inputs = find_baseline(name), Inputs.draw(num_dense)
    network = (network or baseline.make(num_dense, NUM_SPARSE, baseline.dim)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            # No weight of zero hides a difference.
            parameter += 0.05 * torch.randn_like(parameter)
        dense = inputs.dense if num_dense else torch.zeros(ROWS, 1)
        ours = network(dense, inputs.fields(baseline.dim, baseline.first_order))
        theirs, parameters = other(network, inputs)
    own = count(network) + inputs.table_parameters(baseline.dim, baseline.first_order)
    difference = (ours - theirs.reshape(-1)).abs().max().item()
    return Comparison(name, implementation, own, parameters, excess, difference)


class StandIn(types.ModuleType):
    """A package in the place of one that a library imports for reading files or asking for its news."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def stand_in(package: str, *inner: str) -> None:
    """Puts stand-ins for a package and modules of it where it is not installed."""
    if importlib.util.find_spec(package) is None:
        sys.modules |= {name: StandIn(name) for name in (package, *inner)}


class TorchRec:
    """TorchRec's DLRM, whose parts ours is made of."""

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
        return [compare("dlrm", "TorchRec, whole model", self.dlrm)]


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
        own = network.linear.weight if first_order else network.all_fields.weight
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
        # Theirs is the form's matrix by x's columns, ours a layer that turns x into what meets y.
        copy([(network.fusion.bilinear[0].weight.t(), fusion.w_xy)])
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


class DeepCTR:
    """DeepCTR-Torch's whole models, on sparse features."""

    def __init__(self) -> None:
        stand_in("requests")
        import deepctr_torch.inputs
        import deepctr_torch.models

        self.models = deepctr_torch.models
        self.columns = [deepctr_torch.inputs.SparseFeat(name, TABLE_ROWS, DIM) for name in SPARSE]

    def finish(self, model: nn.Module, bias: Tensor, inputs: Inputs, first_order: bool) -> tuple[Tensor, int]:
        """Copies what all its models have, and predicts: logits, as its models end in the sigmoid."""
        copy((inputs.tables[place], model.embedding_dict[name].weight) for place, name in enumerate(SPARSE))
        if first_order:
            linear = model.linear_model.embedding_dict
            copy((inputs.weights[place], linear[name].weight) for place, name in enumerate(SPARSE))
        copy([(bias, model.out.bias)])
        model.out.task = "regression"
        return model.eval()(inputs.ids.float()), count(model)

    def deepfm(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.models.DeepFM(self.columns, self.columns, dnn_hidden_units=(400, 400, 400))
        copy_linears(nn.ModuleList([network.deep, network.last]), [*model.dnn.linears, model.dnn_linear])
        return self.finish(model, network.linear.bias, inputs, first_order=True)

    def xdeepfm(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.models.xDeepFM(
            self.columns,
            self.columns,
            dnn_hidden_units=(400, 400),
            cin_layer_size=(200, 200, 200),
            cin_split_half=False,
            cin_activation="linear",
        )
        for ours, theirs in zip(network.interactions.layers, model.cin.conv1ds, strict=True):
            # Its columns are by the maps of the layer before, then by fields.
            weight = ours.linear.weight.unflatten(1, (NUM_SPARSE, -1)).transpose(1, 2)
            copy([(weight, theirs.weight), (ours.linear.bias, theirs.bias)])
        copy([(network.last_interactions.weight, model.cin_linear.weight)])
        copy_linears(nn.ModuleList([network.deep, network.last_deep]), [*model.dnn.linears, model.dnn_linear])
        return self.finish(model, network.linear.bias, inputs, first_order=True)

    def autoint(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.models.AutoInt([], self.columns, att_layer_num=3, att_head_num=2, dnn_hidden_units=(400, 400))
        for ours, theirs in zip(network.attention, model.int_layers, strict=True):
            copy([(ours.query.weight.t(), theirs.W_Query), (ours.key.weight.t(), theirs.W_key)])
            copy([(ours.value.weight.t(), theirs.W_Value), (ours.residual.weight.t(), theirs.W_Res)])
        copy_linears(network.deep, model.dnn.linears)
        copy([(network.last.weight, model.dnn_linear.weight)])
        return self.finish(model, network.last.bias, inputs, first_order=False)

    def dcnv2(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.models.DCN(
            [], self.columns, cross_num=3, cross_parameterization="matrix", dnn_hidden_units=(768, 768)
        )
        for place, layer in enumerate(network.cross.layers):
            copy([(layer.weight, model.crossnet.kernels[place]), (layer.bias, model.crossnet.bias[place])])
        copy_linears(network.deep, model.dnn.linears)
        copy([(network.last.weight, model.dnn_linear.weight)])
        return self.finish(model, network.last.bias, inputs, first_order=False)

    def compare(self) -> list[Comparison]:
        # Its attention keeps the width of the embeddings: 2 heads of 8 columns instead of 32.
        narrow = AutoIntPlus(0, NUM_SPARSE, DIM, head_dim=DIM // 2)
        return [
            compare("deepfm", "DeepCTR-Torch, whole model", self.deepfm, num_dense=0),
            compare("xdeepfm", "DeepCTR-Torch, whole model", self.xdeepfm, num_dense=0),
            compare("autoint+", "DeepCTR-Torch, heads of 8", self.autoint, num_dense=0, network=narrow),
            compare("dcnv2", "DeepCTR-Torch, whole model", self.dcnv2, num_dense=0),
        ]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    comparisons = TorchRec().compare()
    for library, package in ((FuxiCTR, "fuxictr"), (DeepCTR, "deepctr_torch")):
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed and left out; see {sys.argv[0]} --help", file=sys.stderr)
        else:
            comparisons += library().compare()
    print(f"{'model':<10} {'implementation':<28} {'parameters':>22} {'idle':>5} {'largest difference':>19}")
    print(f"{'':<10} {'':<28} {'ours':>11}{'theirs':>11} {'biases':>6} {'of a logit':>18}")
    for item in sorted(comparisons, key=lambda item: list(FAMILIES).index(item.model)):
        print(
            f"{item.model:<10} {item.implementation:<28} {item.ours:>11,}{item.theirs:>11,} {item.excess:>6} "
            f"{item.difference:>18.1e}"
        )
        if item.theirs - item.excess != item.ours or not item.difference < 1e-4:
            raise SystemExit(f"{item.model} does not agree with {item.implementation}")


if __name__ == "__main__":
    main()
