"""Tables rounded to 8 bits: small, near the learned ones, and honest about what they cost."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from recnas.export import evaluate_export, export_run, load, program_inputs
from recnas.export.quantize import RoundedTable
from recnas.util.errors import InputError


@given(st.integers(0, 10_000), st.floats(-6, 3))
def test_no_entry_moves_further_than_half_a_step(seed, magnitude):
    table = torch.randn(9, 16, generator=torch.Generator().manual_seed(seed)) * 10**magnitude
    table[0] = 0
    rounded = RoundedTable.of(table)
    step = table.abs().amax(dim=1, keepdim=True) / 127
    # The scale itself is rounded to float16, whose smallest step is 6e-8.
    bound = 0.51 * step + 127 * (step * 2**-11).clamp(min=3e-8)
    assert bool(((rounded.table() - table).abs() <= bound).all())
    assert not rounded.table()[0].any()


@pytest.fixture(scope="module")
def rounded(finished, tmp_path_factory):
    """A rounded export; tests only look at it."""
    return export_run(finished.run, tmp_path_factory.mktemp("rounded") / "model", quantize=True)


def test_a_table_takes_eighteen_bytes_a_row(rounded):
    tensors = load_file(rounded / "weights.safetensors")
    tables = {name: tensor for name, tensor in tensors.items() if name.startswith(("tables.", "scales."))}
    rows = sum(feature.rows for feature in load(rounded).schema.sparse)
    assert sum(tensor.nbytes for tensor in tables.values()) == 18 * rows


def test_the_program_has_the_small_tables_and_the_loaded_models_probabilities(rounded, make_batch):
    model, program = load(rounded), torch.export.load(rounded / "program.pt2")
    kinds = {tensor.dtype for name, tensor in program.state_dict.items() if name.startswith("tables.")}
    assert kinds == {torch.int8}
    batch = make_batch(model.schema, 100)
    with torch.inference_mode():
        found, expected = program.module()(*program_inputs(batch, model.schema)), torch.sigmoid(model(batch))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_measured_loss_is_that_of_evaluate(finished, exported, rounded):
    measured = json.loads((rounded / "training.json").read_text())["quantization"]
    assert (measured["data"], measured["split"]) == ("toy", "test")
    for folder, when in ((exported, "before"), (rounded, "after")):
        quality = evaluate_export(folder, finished.data, "test")
        assert measured[when]["auc"] == pytest.approx(quality.auc, abs=1e-9)
        assert measured[when]["log_loss"] == pytest.approx(quality.log_loss, abs=1e-9)
        assert f"{quality.log_loss:.6f} | {quality.auc:.6f}" in (rounded / "README.md").read_text()


def test_an_export_can_be_exported_again_in_other_forms(finished, exported, rounded, tmp_path):
    again = export_run(exported, tmp_path / "again", quantize=True, data=finished.data)
    for name, tensor in load_file(again / "weights.safetensors").items():
        assert torch.equal(tensor, load_file(rounded / "weights.safetensors")[name])
    with pytest.raises(InputError, match="rounded already"):
        export_run(rounded, tmp_path / "third")


def test_without_a_data_set_nothing_is_claimed(exported, tmp_path):
    output = export_run(exported, tmp_path / "model", quantize=True)
    assert json.loads((output / "training.json").read_text())["quantization"]["after"] is None
    assert "int8 |" not in (output / "README.md").read_text()


def test_a_project_to_train_has_no_rounded_tables(finished, tmp_path):
    with pytest.raises(InputError, match="without --quantize"):
        export_run(finished.run, tmp_path / "model", formats=["torchrec"], quantize=True)
