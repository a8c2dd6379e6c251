"""The six subnets published with NASRec, taken away: files without dead parts, code that computes the same."""

import pytest
import torch
from safetensors.torch import load_file

from recnas.candidates.recipe import Recipe
from recnas.export.folder import write_export
from recnas.export.record import Stage, TrainingRecord
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn.model import CTRModel
from tests.export.conftest import OPTIMIZATION
from tests.export.test_project import stir
from tests.export.written_rows import module_of
from tests.space.test_published_subnets import published  # noqa: F401


@pytest.mark.slow
def test_a_published_subnets_files_hold_its_parameters_and_no_more(published, make_model, tmp_path):  # noqa: F811
    _, arch, dense, fields, parameters = published
    schema = Schema(
        "click",
        tuple(DenseFeature(f"d{place}", {"name": "log1p"}) for place in range(dense)),
        tuple(SparseFeature(f"s{place}", 5) for place in range(fields)),
        {split: {"rows": 2, "positives": 1} for split in SPLITS},
    )
    model: CTRModel = make_model(schema, arch)
    stir(model.network)
    folder = write_export(
        tmp_path / "m",
        model,
        TrainingRecord(Recipe(OPTIMIZATION), (Stage("toy", 1, 0.1),)),
        False,
        formats=["torchrec"],
    )
    program = torch.export.load(folder / "program.pt2")
    for tensors in (load_file(folder / "weights.safetensors"), program.state_dict):
        assert sum(tensor.numel() for name, tensor in tensors.items() if name.startswith("network.")) == parameters
    # What is left of the program's file, its graph and its metadata, is small.
    stored = sum(tensor.nbytes for tensor in program.state_dict.values())
    assert (folder / "program.pt2").stat().st_size < stored + 1_000_000
    network = module_of(folder / "torchrec" / "model.py").Network()
    weights = load_file(folder / "torchrec" / "weights.safetensors")
    network.load_state_dict({name[8:]: t for name, t in weights.items() if name.startswith("network.")})
    x, embedded = torch.randn(5, schema.num_dense), torch.randn(5, fields, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(x, embedded), model.network(x, embedded), rtol=1e-5, atol=2e-6)
