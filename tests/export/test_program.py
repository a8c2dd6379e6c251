"""The program: plain tensors in, the model's own probabilities out."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torchrec import KeyedJaggedTensor

from recnas.data import Batch, batch_of
from recnas.export import load, program_inputs
from recnas.export.program import export_program
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn.model import count_dense_parameters
from recnas.space import Architecture, cost

SIZES = (1, 2, 64, 1000)


def live_operators(arch: Architecture) -> set[str]:
    return {name for block in arch.canonical().blocks for name in (*block.dense_operators, *block.sparse_operators)}


@pytest.fixture(scope="module")
def program(exported):
    """The saved program, ready to be called."""
    return torch.export.load(exported / "program.pt2").module()


def assert_same(program, model, batches) -> None:
    for batch in batches:
        with torch.inference_mode():
            probabilities = program(*program_inputs(batch, model.schema))
            expected = torch.sigmoid(model(batch))
        assert probabilities.shape == (len(batch),)
        torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-6)


def test_the_saved_program_gives_the_models_probabilities_at_any_number_of_rows(exported, program, make_batch):
    model = load(exported)
    assert_same(program, model, [make_batch(model.schema, size) for size in SIZES])


def test_lists_may_all_be_empty_or_long(exported, program):
    model = load(exported)
    for length in (0, 1, 500):
        counts = [torch.full((3,), length if f.multi_valued else 1) for f in model.schema.sparse]
        keys = [feature.name for feature in model.schema.sparse]
        ids = torch.ones(int(torch.cat(counts).sum()), dtype=torch.int64)
        sparse = KeyedJaggedTensor(keys, ids, lengths=torch.cat(counts))
        assert_same(program, model, [Batch(torch.randn(3, 3), sparse, torch.zeros(3))])


@pytest.mark.parametrize(
    ("space", "operators"),
    [
        ("nasrec-small", {"fc", "dot-product", "efc"}),
        ("nasrec-full", {"gating", "sum", "attention", "efc"}),
        ("nasrec-cross", {"fc", "efc"}),
        ("nasrec-wide", {"factorized", "mask"}),
        ("autoctr", {"mlp", "inner-products", "fm"}),
        ("hierarchical", {"fm", "efc"}),
    ],
)
def test_random_architectures_become_programs_without_dead_parts(
    finished, sample, make_model, make_batch, space, operators
):
    # Four blocks trace twice as fast as seven.
    short = (replace(arch, blocks=arch.blocks[:4]) for arch in sample(space, 500))
    arch = next(arch for arch in short if operators <= live_operators(arch))
    schema = finished.model.schema
    model = make_model(schema, arch)
    with torch.no_grad():
        # Beside a cross network, a fresh model's blocks have no say yet.
        for weight in model.network.last.parameters():
            weight += 0.1
    exported = export_program(model)
    dense = sum(tensor.numel() for name, tensor in exported.state_dict.items() if name.startswith("network."))
    assert dense == count_dense_parameters(model) == cost.parameters(arch, schema.num_dense, schema.num_sparse, 16)
    assert_same(exported.module(), model, [make_batch(schema, size) for size in SIZES])


@pytest.mark.parametrize("lists", [False, True])
def test_a_schema_may_have_no_dense_feature_and_one_kind_of_sparse(finished, make_model, make_batch, lists):
    features = tuple(SparseFeature(name, 9, multi_valued=lists) for name in "ab")
    schema = Schema("click", (), features, {split: {"rows": 2, "positives": 1} for split in SPLITS})
    model = make_model(schema, finished.model.network.architecture)
    assert_same(export_program(model).module(), model, [make_batch(schema, size) for size in (1, 5)])


def test_a_program_shares_the_models_weights(finished, make_model):
    schema = finished.model.schema
    model = make_model(schema, finished.model.network.architecture)
    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert {tensor.data_ptr() for tensor in export_program(model).state_dict.values()} == own


def test_an_input_of_another_width_is_refused(exported, program, make_batch):
    model = load(exported)
    dense, *rest = program_inputs(make_batch(model.schema, 4), model.schema)
    with pytest.raises(Exception, match="size"):
        program(dense[:, :2], *rest)


def test_the_readmes_code_runs_the_program_with_torch_alone(exported):
    """In a process where nothing but torch can be imported."""
    code = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)[-1]
    assert "program.pt2" in code
    absent = "import sys\nfor name in ('recnas', 'torchrec', 'fbgemm_gpu', 'safetensors'): sys.modules[name] = None\n"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error::FutureWarning", "-c", absent + code],
        cwd=exported,
        check=True,
        env=clean,
        timeout=120,
        capture_output=True,
        text=True,
    )
    model = load(exported)
    nothing = dict.fromkeys(feature.name for feature in (*model.schema.dense, *model.schema.sparse))
    with torch.inference_mode():
        expected = torch.sigmoid(model(batch_of(model.schema.encode([nothing, nothing]), model.schema)))
    found = torch.tensor([float(number) for number in re.findall(r"0\.\d+", done.stdout)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
