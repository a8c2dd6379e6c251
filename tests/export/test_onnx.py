"""The ONNX file: the model's own probabilities, for any number of rows and lists of any length."""

import re
import sys
from dataclasses import replace

import onnxruntime
import pytest
import torch

from recnas.export import export_run, load, program_inputs
from recnas.export.onnx import input_names, save_onnx
from recnas.export.program import example_inputs
from recnas.space.operators import BRANCHES
from recnas.util.errors import InputError

pytestmark = pytest.mark.slow


def run_file(path, schema, inputs):
    session = onnxruntime.InferenceSession(str(path))
    given = dict(zip(input_names([schema]), (tensor.numpy() for tensor in inputs), strict=True))
    return torch.from_numpy(session.run(None, {entry.name: given[entry.name] for entry in session.get_inputs()})[0])


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "int8"])
def folder(request, finished, tmp_path_factory):
    """An export with an ONNX file; tests only look at it."""
    output = tmp_path_factory.mktemp("onnx") / "model"
    return export_run(finished.run, output, formats=["onnx"], quantize=request.param)


def test_onnx_runtime_gives_the_models_probabilities(folder, make_batch):
    model = load(folder)
    for rows in (1, 2, 64, 1000):
        batch = make_batch(model.schema, rows)
        with torch.inference_mode():
            expected = torch.sigmoid(model(batch))
        found = run_file(folder / "model.onnx", model.schema, program_inputs(batch, model.schema))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_readmes_code_gives_the_programs_probabilities_in_onnx_runtime_too(folder, monkeypatch, capsys):
    *_, torch_code, onnx_code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(torch_code + onnx_code, {})
    first, second = (re.findall(r"0\.\d{4}", line) for line in capsys.readouterr().out.splitlines())
    assert [float(number) for number in first] == pytest.approx([float(number) for number in second], abs=2e-4)


def test_lists_may_all_be_empty(folder):
    model = load(folder)
    dense, ids, *lists = example_inputs([model.schema], 3)
    lists = [torch.zeros(4 if place % 2 else 0, dtype=torch.int64) for place in range(len(lists))]
    program = torch.export.load(folder / "program.pt2").module()
    found = run_file(folder / "model.onnx", model.schema, (dense, ids, *lists))
    torch.testing.assert_close(found, program(dense, ids, *lists), rtol=0, atol=1e-6)


@pytest.mark.parametrize("wanted", [{"gating", "sum", "attention"}, {"factorized", "mask"}])
def test_all_operators_and_branches_become_onnx(finished, sample, make_model, tmp_path, wanted):
    branches = tuple((name, 2) for name in BRANCHES)
    archs = [replace(arch, blocks=arch.blocks[:3], branches=branches) for arch in sample("nasrec-wide", 300)]
    arch = next(
        arch
        for arch in archs
        if wanted <= {o for b in arch.canonical().blocks for o in (*b.dense_operators, *b.sparse_operators)}
    )
    model = make_model(finished.model.schema, arch)
    # It checks itself, and raises an error if the figures differ.
    save_onnx(model, tmp_path / "model.onnx")


def test_a_network_whose_logit_reads_what_is_unread_becomes_onnx(finished, sample, make_model, tmp_path):
    archs = (replace(arch, blocks=arch.blocks[:4]) for arch in sample("autoctr", 300))
    wanted = {"mlp", "inner-products", "fm"}
    arch = next(arch for arch in archs if wanted <= {o for b in arch.canonical().blocks for o in b.dense_operators})
    save_onnx(make_model(finished.model.schema, arch), tmp_path / "model.onnx")


def test_a_missing_package_is_named_before_anything_is_written(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript; pip install 'recnas\[onnx\]'"):
        export_run(finished.run, tmp_path / "model", formats=["onnx"])
    assert not any(tmp_path.iterdir())
