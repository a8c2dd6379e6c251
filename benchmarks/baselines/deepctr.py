"""DeepCTR-Torch's package."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.baselines.comparison import (
    DIM,
    NUM_SPARSE,
    SPARSE,
    TABLE_ROWS,
    Comparison,
    Inputs,
    compare,
    copy,
    copy_linears,
    count,
    stand_in,
)

ONE_HEAD = {"heads": 1, "head_dim": DIM}


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
        model = self.models.AutoInt([], self.columns, att_layer_num=3, att_head_num=1, dnn_hidden_units=(400, 400))
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
        return [
            compare("deepfm", "DeepCTR-Torch, whole model", self.deepfm, num_dense=0),
            compare("xdeepfm", "DeepCTR-Torch, whole model", self.xdeepfm, num_dense=0),
            # Its attention keeps the width of the embeddings: one head of 16 columns.
            compare("autoint+", "DeepCTR-Torch, one head of 16", self.autoint, choices=ONE_HEAD, num_dense=0),
            compare("dcnv2", "DeepCTR-Torch, whole model", self.dcnv2, num_dense=0),
        ]
