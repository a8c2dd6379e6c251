"""The TorchRec project: plain code without recnas that computes, serves and trains the same model."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from recnas.data import batch_of
from recnas.export import export_run, load
from recnas.export.project import write_project
from recnas.export.record import TrainingRecord
from recnas.nn.network import ChoiceNetwork
from recnas.nn.operators.attention import Attention
from recnas.space import cost
from recnas.space.operators import BRANCHES
from tests.export.written_rows import module_of

SAMPLES = dict.fromkeys(("nasrec-small", "nasrec-full", "nasrec-cross", "nasrec-wide", "autoctr", "hierarchical"), 8)


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory) -> Path:
    """A project; tests only look at it."""
    return export_run(finished.run, tmp_path_factory.mktemp("project") / "model", formats=["torchrec"]) / "torchrec"


@pytest.fixture
def record(project) -> TrainingRecord:
    return TrainingRecord.load(project.parent)


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
    archs = sample(space, SAMPLES[space])
    if space == "nasrec-wide":
        archs[0] = replace(archs[0], branches=tuple((name, 2) for name in BRANCHES))
        assert {"factorized", "mask"} <= {name for arch in archs for block in arch.blocks for name in block.operators}
    for number, arch in enumerate(archs):
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


ROWS = [
    {"age": 41.5, "visits": -3.0, "price": 2.0, "user": 7, "item": 4_000_000_000, "tags": [3, 3, 9], "places": []},
    {"age": None, "user": "anna", "tags": None, "places": [1, None]},
    {},
]


def test_raw_rows_are_served_with_the_probabilities_of_the_loaded_model(project):
    model = load(project.parent)
    with torch.inference_mode():
        expected = torch.sigmoid(model(batch_of(model.schema.encode(ROWS), model.schema)))
    printed = run_python(project, "serve.py", given="".join(json.dumps(row) + "\n" for row in ROWS))
    torch.testing.assert_close(torch.tensor([float(line) for line in printed.split()]), expected, rtol=0, atol=1e-6)


def test_standard_input_is_utf_8_whatever_the_locale(project, monkeypatch, capsys):
    rows = [{**ROWS[0], "user": "Zürich 区"}, {**ROWS[0], "user": "Zurich"}]
    given = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    expected = serve_of(project).predict(serve_of(project).load_model(), rows)
    for mark in (b"", b"\xef\xbb\xbf"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(mark + given), encoding="latin-1"))
        serve_of(project).main()
        printed = [float(line) for line in capsys.readouterr().out.split()]
        assert printed == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"user": "Z\xfcrich"}\n'), encoding="latin-1"))
    with pytest.raises(SystemExit, match=r"serve\.py: 'utf-8' codec can't decode"):
        serve_of(project).main()


def serve_of(project: Path) -> ModuleType:
    """The project's `serve.py`, in this process."""
    features, model = (module_of(project / f"{name}.py") for name in ("features", "model"))
    return module_of(project / "serve.py", model=model, rows=module_of(project / "rows.py", features=features))


def test_many_rows_are_served_in_batches(project, monkeypatch):
    serve = serve_of(project)
    model = serve.load_model()
    at_once = serve.predict(model, ROWS * 3)
    monkeypatch.setattr(serve, "BATCH", 2)
    assert serve.predict(model, ROWS * 3) == pytest.approx(at_once, abs=1e-6)
    assert serve.predict(model, []) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"age": 1}\n', "serve.py: no row has a value 'visits'; give it, or None where it is missing"),
        (json.dumps(ROWS[0]) + '\n\n{"age": "old"}\n', "serve.py: row 2: age is 'old', which is not a finite number"),
        (json.dumps(ROWS[0]) + "\n{\n", "serve.py: row 2 is not JSON (Expecting property name"),
        (json.dumps(ROWS[0]) + "\n3\n", "serve.py: row 2 is 3, which is not an object of columns and values"),
    ],
)
def test_what_cannot_be_served_is_one_line(project, monkeypatch, capsys, lines, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    with pytest.raises(SystemExit) as stopped:
        serve_of(project).main()
    assert str(stopped.value).startswith(message)
    assert "\n" not in str(stopped.value)
    assert capsys.readouterr().out == ""


def test_the_readmes_code_works(project, monkeypatch, capsys):
    code = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(project)
    monkeypatch.setitem(sys.modules, "serve", serve_of(project))
    exec(code[0], {})
    assert all(0 < probability < 1 for probability in json.loads(capsys.readouterr().out))


@pytest.mark.slow
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
    losses = [float(loss) for loss in re.findall(r"epoch \d  validation log loss ([0-9.]+)", printed)]
    assert len(losses) == 2
    assert losses[-1] < 0.6
    assert f"holds epoch {losses.index(min(losses)) + 1}, validation log loss {min(losses):.6f}" in printed
    before, after = load_file(folder / "weights.safetensors"), load_file(trained)
    assert {name: tensor.shape for name, tensor in before.items()} == {n: t.shape for n, t in after.items()}
    assert all(not torch.equal(before[name], after[name]) for name in before if "table_0" in name or "last" in name)
    (folder / "weights.safetensors").write_bytes(trained.read_bytes())
    serve = serve_of(folder)
    assert 0 < serve.predict(serve.load_model(), ROWS)[0] < 1
