"""Whole models that are no package: FuxiCTR's model zoo, and FCN of its authors, which is written for FuxiCTR.

They get the same weights as ours, name by name; what they are made of differs in nothing else.
"""

from __future__ import annotations

import importlib.util
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.baselines.comparison import (
    DENSE,
    DIM,
    NUM_DENSE,
    NUM_SPARSE,
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
from recnas.nn.batch_norm import BatchNorm

FILES = {
    "DNN": "model_zoo/DNN/DNN_torch/src/DNN.py",
    "FiBiNET": "model_zoo/FiBiNET/src/FiBiNET.py",
    "FinalNet": "model_zoo/FinalNet/src/FinalNet.py",
    "GDCNP": "model_zoo/GDCN/src/GDCN.py",
    "MaskNet": "model_zoo/MaskNet/src/MaskNet.py",
    "QNN_alpha": "model_zoo/QNN/src/QNN_alpha.py",
    "DCNv3": "src/DCNv3.py",
}
COMPILED = {"optimizer": "adam", "loss": "binary_crossentropy", "metrics": [], "model_root": ".", "verbose": 0}
WIDTH = (NUM_DENSE + NUM_SPARSE) * DIM


def copy_norms(ours: nn.Module, theirs: nn.Module) -> None:
    """Copies batch and layer norms one by one."""
    kinds = (BatchNorm, nn.BatchNorm1d, nn.LayerNorm)
    pairs = zip(*([m for m in module.modules() if isinstance(m, kinds)] for module in (ours, theirs)), strict=True)
    for layer, other in pairs:
        other.load_state_dict(layer.state_dict(), strict=False)


class Repositories:
    """Models by the clones of the repositories that have them.

    Args:
        fuxictr: Of github.com/reczoo/FuxiCTR.
        fcn: Of github.com/salmon1802/FCN.
    """

    def __init__(self, fuxictr: Path, fcn: Path) -> None:
        stand_in("h5py")
        stand_in("ray", "ray.data", "ray.data.datasource", "ray.data.datasource.filename_provider")
        self.folders = {"DCNv3": fcn}
        self.fuxictr = fuxictr
        features = {name: {"type": "numeric", "source": ""} for name in DENSE}
        features |= {name: {"type": "categorical", "source": "", "vocab_size": TABLE_ROWS} for name in SPARSE}
        self.features = types.SimpleNamespace(
            features=features,
            num_fields=len(features),
            data_dir=".",
            dataset_id="",
            labels=["y"],
            sum_emb_out_dim=lambda: WIDTH,
        )

    def path(self, name: str) -> Path:
        return self.folders.get(name, self.fuxictr) / FILES[name]

    def missing(self) -> list[str]:
        """The models for which there is no file."""
        return [name for name in FILES if not self.path(name).is_file()]

    def model(self, name: str, training: bool = False, **settings: Any) -> nn.Module:
        """One of their models; outside of training it gives logits."""
        spec = importlib.util.spec_from_file_location(name, self.path(name))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        task = "binary_classification" if training else "regression"
        made = getattr(module, name)(self.features, embedding_dim=DIM, task=task, **settings, **COMPILED)
        return made.train(training)

    @staticmethod
    def look_up(model: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
        """Copies embeddings and first-order weights; gives the batch."""
        for name, module in model.named_modules():
            if not name.endswith("embedding_layers"):
                continue
            first_order = module[SPARSE[0]].weight.shape[1] == 1
            numbers = inputs.number_weights if first_order else inputs.vectors
            tables = inputs.weights if first_order else inputs.tables
            copy((numbers[place], module[name].weight) for place, name in enumerate(DENSE))
            copy((tables[place], module[name].weight) for place, name in enumerate(SPARSE))
        columns = dict(zip(DENSE, inputs.dense.t(), strict=True)) | dict(zip(SPARSE, inputs.ids.t(), strict=True))
        return columns | {"y": inputs.label}

    def dnn(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.model("DNN", hidden_units=[400, 400], batch_norm=True)
        copy_linears(network, model.mlp)
        copy_norms(network, model.mlp)
        return model(self.look_up(model, inputs))["y_pred"], count(model)

    def gdcn(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.model("GDCNP", dnn_hidden_units=[400, 400, 400], num_cross_layers=3)
        for layer, weight, gate, bias in zip(
            network.cross, model.cross_net.w, model.cross_net.wg, model.cross_net.b, strict=True
        ):
            copy([(layer.cross.weight, weight.weight), (layer.gate.weight, gate.weight), (layer.cross.bias, bias)])
        copy_linears(network.deep, model.dnn)
        copy_linears(network.last, model.fc)
        return model(self.look_up(model, inputs))["y_pred"], count(model)

    def masknet(self, structure: str) -> Any:
        def other(network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
            model = self.model(
                "MaskNet",
                model_type=f"{structure.title()}MaskNet",
                dnn_hidden_units=[400, 400, 400],
                parallel_num_blocks=3,
                parallel_block_dim=64,
                reduction_ratio=1,
            )
            for place, norm in enumerate(model.emb_norm):
                copy([(network.field_norm.weight[place], norm.weight), (network.field_norm.bias[place], norm.bias)])
            copy_linears(network.blocks, model.mask_net.mask_blocks)
            copy_norms(network.blocks, model.mask_net.mask_blocks)
            above = nn.ModuleList([network.deep, network.last])
            copy_linears(above, model.mask_net.fc if structure == "serial" else model.mask_net.dnn)
            return model(self.look_up(model, inputs))["y_pred"], count(model)

        return other

    def finalnet(self, training: bool) -> Any:
        def other(network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
            layers = {f"block{number}_hidden_units": [400, 400] for number in (1, 2)}
            activations = {f"block{number}_hidden_activations": "ReLU" for number in (1, 2)}
            model = self.model("FinalNet", training, use_feature_gating=True, **layers, **activations)
            copy_linears(network.gates, model.feature_gating)
            for ours, block, last in zip(
                network.blocks, (model.block1, model.block2), (model.fc1, model.fc2), strict=True
            ):
                copy_linears(ours, [*linears(block), last])
                copy_norms(ours, block)
            batch = self.look_up(model, inputs)
            given = model(batch)
            if training:
                return model.add_loss(given, inputs.label.unsqueeze(1)), count(model)
            return given["y_pred"], count(model)

        return other

    def fcn(self, training: bool) -> Any:
        def other(network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
            model = self.model(
                "DCNv3",
                training,
                num_deep_cross_layers=3,
                num_shallow_cross_layers=4,
                deep_net_dropout=0,
                shallow_net_dropout=0,
            )
            for ours, theirs in ((network.exponential, model.ECN), (network.linear, model.LCN)):
                copy_linears(ours, theirs.w)
                copy_norms(ours, theirs.layer_norm)
                copy((layer.bias, bias) for layer, bias in zip(ours, theirs.b, strict=True))
            copy_linears(network.last_exponential, model.ECN.dfc)
            copy_linears(network.last_linear, model.LCN.sfc)
            batch = self.look_up(model, inputs)
            return model.add_loss(batch) if training else model(batch)["y_pred"], count(model)

        return other

    def qnn(self, network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
        model = self.model("QNN_alpha", num_layers=3, num_row=3, batch_norm=True)
        copy_linears(network, model.qnn)
        copy_norms(network, model.qnn)
        batch = self.look_up(model, inputs)
        batch.pop("y")
        # The whole model asks for an option of embeddings that the package has no more.
        return model.qnn(model.embedding_layer(batch, flatten_emb=True)), count(model)

    def fibinet(self, bilinear: str) -> Any:
        def other(network: nn.Module, inputs: Inputs) -> tuple[Tensor, int]:
            kind = {"pairs": "field_interaction", "each": "field_each", "all": "field_all"}[bilinear]
            model = self.model("FiBiNET", hidden_units=[400, 400, 400], bilinear_type=kind)
            copy_linears(network.weights, model.senet_layer)
            copy([(network.products.weight, model.bilinear_interaction1.bilinear_W)])
            copy([(network.weighted_products.weight, model.bilinear_interaction2.bilinear_W)])
            *hidden, last = linears(model.dnn)
            copy_linears(network.deep, hidden)
            copy([(network.last.weight, last.weight), (network.linear.bias, last.bias)])
            return model(self.look_up(model, inputs))["y_pred"], count(model)

        return other

    def compare(self) -> list[Comparison]:
        """All for which there is a file."""
        with torch.no_grad():
            return [
                compare(name, f"{source}, {what}", other, choices=choices, by_loss="loss" in what)
                for name, theirs, source, what, other, choices in self._cases()
                if self.path(theirs).is_file()
            ]

    def _cases(self) -> list[tuple[str, str, str, str, Any, Mapping[str, Any]]]:
        """Our family, their model, whose, what of it, how, and our choices."""
        zoo, authors, model = "FuxiCTR", "its authors", "whole model"
        return [
            ("dnn", "DNN", zoo, f"{model}, batch norm", self.dnn, {"hidden": (400, 400), "norm": "batch"}),
            ("gdcn", "GDCNP", zoo, model, self.gdcn, {}),
            ("masknet", "MaskNet", zoo, f"{model}, serial", self.masknet("serial"), {}),
            (
                "masknet",
                "MaskNet",
                zoo,
                f"{model}, parallel",
                self.masknet("parallel"),
                {"structure": "parallel", "norm": "layer"},
            ),
            ("finalnet", "FinalNet", zoo, model, self.finalnet(False), {}),
            ("finalnet", "FinalNet", zoo, "training loss", self.finalnet(True), {}),
            ("fcn", "DCNv3", authors, model, self.fcn(False), {}),
            ("fcn", "DCNv3", authors, "training loss", self.fcn(True), {}),
            ("qnn", "QNN_alpha", zoo, "all but its embeddings", self.qnn, {}),
            *(
                ("fibinet", "FiBiNET", zoo, f"{model}, {kind}", self.fibinet(kind), {"bilinear": kind})
                for kind in ("pairs", "each", "all")
            ),
        ]
