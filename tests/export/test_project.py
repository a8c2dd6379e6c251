"""The TorchRec project: plain code without recnas that computes, serves and trains the same model."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from recnas.export import export_run
from recnas.export.project import write_project
from recnas.export.record import TrainingRecord
from recnas.nn.network import ChoiceNetwork
from recnas.nn.operators import Attention
from recnas.space import cost

SAMPLES = dict.fromkeys(("nasrec-small", "nasrec-full", "nasrec-cross"), 8)


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory) -> Path:
    """A project; tests only look at it."""
    return export_run(finished.run, tmp_path_factory.mktemp("project") / "model", formats=["torchrec"]) / "torchrec"


@pytest.fixture
def record(project) -> TrainingRecord:
    return TrainingRecord.load(project.parent)


def module_of(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"written_{file.parent.name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stir(network: ChoiceNetwork) -> None:
    """Weights such as training leaves: none is zero or one, but for a key's bias."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight += (0.1 if weight.ndim == 1 else 0.02) * torch.rand(weight.shape, generator=generator)
        for operator in network.modules():
            if isinstance(operator, Attention):
                operator.in_projection.bias *= operator.in_projection.bias_mask


@pytest.mark.parametrize("space", SAMPLES)
def test_the_written_network_gives_the_logits_of_the_found_one(finished, sample, make_model, record, tmp_path, space):
    schema, projects = finished.model.schema, tmp_path / "projects"
    projects.mkdir()
    for number, arch in enumerate(sample(space, SAMPLES[space])):
        model = make_model(schema, arch)
        stir(model.network)
        folder = projects / str(number)
        write_project(folder, model, record)
        network = module_of(folder / "model.py").Network()
        weights = load_file(folder / "weights.safetensors")
        network.load_state_dict({n[8:]: t for n, t in weights.items() if n.startswith("network.")})
        dense, fields = torch.randn(5, schema.num_dense), torch.randn(5, schema.num_sparse, 16)
        with torch.no_grad():
            torch.testing.assert_close(network(dense, fields), model.network(dense, fields), rtol=1e-5, atol=2e-6)
        keys = 16 * sum("attention" in block.sparse_operators for block in arch.canonical().blocks)
        written = sum(weight.numel() for weight in network.parameters())
        assert written == cost.parameters(arch, schema.num_dense, schema.num_sparse, 16) - keys
    lint(projects)


def lint(folder: Path) -> None:
    """The code is as `ruff` would have it."""
    ruff = [sys.executable, "-m", "ruff"]
    for check in (["format", "--check", "--diff"], ["check", "--select", "E,F,B,UP"]):
        done = subprocess.run(
            [*ruff, *check, "--isolated", "--line-length", "120", str(folder)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_the_project_does_not_know_recnas(project):
    for file in project.glob("*.py"):
        assert not re.search(r"^\s*(import|from) recnas", file.read_text(), re.MULTILINE)
    lint(project)


def run_python(project: Path, *arguments: str, given: str = "") -> str:
    """Python in the project's folder, where recnas cannot be imported."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    absent = project / "recnas.py"
    absent.write_text("raise ImportError('recnas')\n")
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=clean, input=given, capture_output=True, text=True, timeout=120
    )
    absent.unlink()
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_raw_rows_are_served_as_the_program_of_the_readme_serves_them(project):
    rows = [
        {"age": 41.5, "visits": -3.0, "price": 2.0, "user": 7, "item": 4_000_000_000, "tags": [3, 3, 9], "places": []},
        {"age": None, "user": None, "tags": None, "places": [1, None]},
        {},
    ]
    printed = run_python(project, "serve.py", given="".join(json.dumps(row) + "\n" for row in rows))
    code = re.findall(r"```python\n(.*?)```", (project.parent / "README.md").read_text(), re.DOTALL)[-1]
    names: dict = {}
    here = Path.cwd()
    os.chdir(project.parent)
    try:
        exec(code, names)
    finally:
        os.chdir(here)
    expected = names["program"](*names["inputs"](rows))
    torch.testing.assert_close(torch.tensor([float(line) for line in printed.split()]), expected, rtol=0, atol=1e-6)


def test_raw_values_are_hashed_as_in_preparation(project, monkeypatch):
    from recnas.schema import raw_value

    monkeypatch.syspath_prepend(str(project))
    data = module_of(project / "data.py")
    for value in (0, 5, "5", "5.0", 5.0, -1, 2**32, 2**40 + 7, "Alien (1979)", "007", "", None, float("nan"), "-3"):
        assert data.raw_value(value) == raw_value(value)


@pytest.mark.parametrize("processes", [1, 2])
def test_torchrun_trains_the_project_and_serve_takes_the_weights(finished, project, tmp_path, processes):
    trained = tmp_path / "trained.safetensors"
    # What is clipped goes through more code.
    folder = tmp_path / "torchrec"
    folder.mkdir()
    for file in project.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    script = (folder / "train.py").read_text()
    (folder / "train.py").write_text(script.replace("CLIP = None", "CLIP = 0.5", 1))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "train.py"]
    printed = run_python(folder, *torchrun, "--data", str(finished.data), "--output", str(trained), "--epochs", "2")
    losses = [float(loss) for loss in re.findall(r"validation log loss ([0-9.]+)", printed)]
    assert len(losses) == 2
    assert losses[-1] < 0.6
    before, after = load_file(folder / "weights.safetensors"), load_file(trained)
    assert {name: tensor.shape for name, tensor in before.items()} == {n: t.shape for n, t in after.items()}
    assert all(not torch.equal(before[name], after[name]) for name in before if "table_0" in name or "last" in name)
    (folder / "weights.safetensors").write_bytes(trained.read_bytes())
    assert 0 < float(run_python(folder, "serve.py", given="{}")) < 1
