"""Baselines that recnas 0.1 exported predict as they did."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from recnas.candidates.network import Baseline
from recnas.export import continue_training, export_run, load
from recnas.export.folder import model_from
from recnas.features.number_field import NumberField
from recnas.features.schema import Schema
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, embedding_dim, reads_first_order
from recnas.train.checkpoint import model_tensors
from recnas.train.tensor_files import save_tensors
from recnas.util.errors import InputError

NAMES = ("lr", "dlrm", "deepfm", "xdeepfm", "autoint+", "dcnv2", "finalmlp")
LAYER = re.compile(r"(network\.(?:deep|stream_[12]\.1|stream_[12]\.0\.gate\.0))\.(\d+)\.linear\.(.*)")


def as_written_then(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A model's weights by the names of 0.1: modules of an MLP were numbered, dropout and activations too."""
    step = 3 if name == "deepfm" else 2
    former = {}
    for key, tensor in tensors.items():
        key = key.replace("network.network.", "network.")
        if key == "network.numbers.vectors":
            former["network.all_fields.weight"] = tensor[:, :16]
            if tensor.shape[1] > 16:
                former["network.linear.weight"] = tensor[:, 16:]
        elif key == "network.fusion.bilinear":
            former |= {f"network.fusion.bilinear.{head}.weight": matrix.t() for head, matrix in enumerate(tensor)}
        elif name == "dlrm" and key.startswith("network.bottom."):
            former[re.sub(r"bottom\.(\d)\.linear", r"bottom.model._mlp.\1._linear", key)] = tensor
        elif name == "dlrm" and key.startswith("network.top."):
            former[re.sub(r"top\.(\d)\.linear", r"top.model.0._mlp.\1._linear", key)] = tensor
        elif name == "dlrm" and key.startswith("network.last."):
            former[key.replace("last", "top.model.1")] = tensor
        else:
            layer = LAYER.fullmatch(key)
            former[f"{layer[1]}.{step * int(layer[2])}.{layer[3]}" if layer else key] = tensor
    return former


def model_of_then(name: str, schema: Schema) -> CTRModel:
    """What it computed: all but LR and DLRM had a vector for each number."""
    if name not in ("lr", "dlrm"):
        fields = tuple(NumberField(feature.name) for feature in schema.dense)
        schema = replace(schema, number_fields=fields, reads_columns=False)
    baseline = Baseline(name)
    embeddings = WholeEmbeddings(schema, embedding_dim(baseline), first_order=reads_first_order(baseline))
    model = CTRModel(schema, embeddings, build_network(baseline, schema)).eval()
    for parameter in model.network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_of_version_0_1_predicts_as_it_did(name: str, finished, tmp_path: Path, make_batch) -> None:
    schema = finished.model.schema
    torch.manual_seed(0)
    then = model_of_then(name, schema)
    written = as_written_then(name, model_tensors(then))
    save_tensors(tmp_path / "weights.safetensors", written)
    now = model_from(Baseline(name), schema, tmp_path / "weights.safetensors")
    batch = make_batch(schema, 20)
    torch.testing.assert_close(now(batch), then(batch))
    assert now.schema == then.schema


def test_it_is_exported_again_before_it_is_trained_further(
    model_folder: Path, finished, tmp_path: Path, make_batch
) -> None:
    then = model_of_then("deepfm", load(model_folder).schema)
    save_tensors(model_folder / "weights.safetensors", as_written_then("deepfm", model_tensors(then)))
    (model_folder / "architecture.json").write_text('{"version": 1, "kind": "baseline", "name": "deepfm"}')
    with pytest.raises(InputError, match=r"weights of recnas 0\.1; export .* again and train what comes of it"):
        continue_training(model_folder, finished.data, tmp_path / "more")
    again = export_run(model_folder, tmp_path / "again")
    batch = make_batch(then.schema, 20)
    torch.testing.assert_close(load(again)(batch), then(batch))
    continue_training(again, finished.data, tmp_path / "more")
