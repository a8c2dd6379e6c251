"""A baseline of a user's own needs nothing in the package, and its code runs only where the user names it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import recnas
from recnas.candidates.families import check_family_name, family_title
from recnas.candidates.network import Baseline
from recnas.data import Dataset
from recnas.export import continue_training, evaluate_export, export_run, load, program_inputs
from recnas.features.schema import Schema
from recnas.nn.baselines.registry import baseline, find_baseline
from recnas.nn.networks import build_network, network_of, title_of
from recnas.report import read_run, write_report
from recnas.runs.status import read_status
from recnas.util.errors import InputError
from tests.own_code import MODELS, here
from tests.searches import data

__all__ = ["data", "here"]

NAME, ID = "own_models:SumOfFields", "own_models.SumOfFields"
SETTINGS: dict[str, Any] = {"final": {"optimization": {"batch_size": 400}}}


@pytest.fixture
def run(here: Path, data: Path) -> Path:
    """A finished run of a baseline of recnas and one of the user's own."""
    (here / "own_models.py").write_text(MODELS)
    recnas.baselines(data, here / "run", models=["lr", NAME], learning_rates=[0.05], progress=False, **SETTINGS)
    return here / "run"


def forget(here: Path) -> None:
    """Nobody imports the module any more without harm."""
    (here / "own_models.py").write_text("raise ValueError('imported')\n")
    sys.modules.pop("own_models", None)


def in_another_process(here: Path, code: str) -> str:
    """What Python code prints there; its last line of an error."""
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout or done.stderr.strip().splitlines()[-1]


def test_an_own_baseline_is_trained_reported_and_exported_with_its_title(run: Path, here: Path, data: Path) -> None:
    _, own = json.loads((run / "results.json").read_text())["models"]
    assert (own["id"], own["kind"], own["title"], own["status"]) == (ID, "baseline", "Sum of fields", "trained")
    # 16 columns to 64, and to the logit.
    assert own["macs"] == 16 * 64 + 64
    model = export_run(run, here / "model", model=ID, formats=["onnx"])
    assert "Sum of fields" in (model / "README.md").read_text()
    assert json.loads((model / "architecture.json").read_text())["name"] == NAME
    quality = evaluate_export(model, data, "test")
    assert quality.log_loss == pytest.approx(own["test"]["log_loss"], abs=1e-6)
    continue_training(model, data, here / "more")
    assert load(here / "more").schema == load(model).schema
    program = torch.export.load(model / "program.pt2").module()
    batch = next(iter(Dataset(data).fed(load(model).schema).batches("test", 4)))
    expected = torch.sigmoid(load(model)(batch))
    torch.testing.assert_close(program(*program_inputs(batch, load(model).schema)), expected)
    forget(here)
    assert [item.name for item in read_run(run).results.models] == ["LR", "Sum of fields"]
    assert read_status(run).state == "finished"
    assert "Sum of fields" in write_report(run).read_text()
    assert "own_models" not in sys.modules


@pytest.mark.slow
def test_an_own_baseline_is_added_to_a_finished_run(here: Path, data: Path) -> None:
    (here / "own_models.py").write_text(MODELS)
    recnas.baselines(data, here / "run", models=["lr"], learning_rates=[0.05], progress=False, **SETTINGS)
    results = recnas.baselines(run=here / "run", models=[NAME], workers=2, progress=False)
    assert [model["id"] for model in results["models"]] == ["lr", ID]
    assert results == recnas.baselines(run=here / "run", models=[NAME], progress=False)
    forget(here)
    # Another that is added later needs not its code.
    results = recnas.baselines(run=here / "run", models=["lr"], progress=False)
    assert [model["id"] for model in results["models"]] == ["lr", ID]


@pytest.mark.slow
def test_a_model_of_a_class_that_nobody_has_imported_says_what_to_import(run: Path, here: Path, data: Path) -> None:
    model = export_run(run, here / "model", model=ID)
    load_it = "import recnas; recnas.load('model'); print('loaded')"
    said = f"{NAME} is code of its user's own; import own_models first (on the command line: --code own_models)"
    assert said in in_another_process(here, load_it)
    assert in_another_process(here, f"import own_models; {load_it}") == "loaded\n"
    evaluate = f"from recnas.cli import main; main(['evaluate', 'model', '--data', {str(data)!r}, *{{}}])"
    assert said in in_another_process(here, evaluate.format([]))
    assert "test log loss" in in_another_process(here, evaluate.format(["--code", "own_models"]))
    # What a file names is looked for among baselines alone.
    architecture = model / "architecture.json"
    architecture.write_text(architecture.read_text().replace(NAME, "os:getcwd"))
    with pytest.raises(InputError, match="os:getcwd is code of its user's own"):
        load(model)


def test_a_file_that_names_a_baseline_runs_its_code_only_when_the_call_repeats_it(here: Path, data: Path) -> None:
    (here / "own_models.py").write_text("raise ValueError('imported')\n")
    preset = here / "p.yaml"
    preset.write_text(f"final: {{baselines: [dlrm, {NAME}]}}\nproxy: {{batch_size: 16}}\n")
    calls = {"--models": recnas.baselines, "--baselines": recnas.search}
    for flag, call in calls.items():
        said = f"its baseline runs code of the module own_models; give {flag} dlrm {NAME} to confirm it"
        with pytest.raises(InputError, match=said):
            call(data, here / "run", preset=str(preset), progress=False)
    with pytest.raises(InputError, match="own_models cannot be imported"):
        recnas.baselines(data, here / "run", preset=str(preset), models=["dlrm", NAME], progress=False)
    assert not (here / "run").exists()


def test_a_class_must_be_declared_where_it_is_looked_for(here: Path) -> None:
    (here / "own_models.py").write_text(MODELS + "\nclass Plain(nn.Module):\n    pass\n")
    (here / "own_package.py").write_text("from own_models import SumOfFields\n")
    assert find_baseline(NAME).title == "Sum of fields"
    for name in ("own_models:Plain", "own_package:SumOfFields"):
        with pytest.raises(InputError, match=f"baseline {name}: no class of that module that `@baseline"):
            find_baseline(name)
    with pytest.raises(ValueError, match="names are for the baselines in recnas"):
        baseline("dlrm")(torch.nn.Linear)


def test_an_own_baseline_that_fails_is_said_in_one_line_before_anything_is_made(here: Path, data: Path) -> None:
    (here / "own_models.py").write_text(MODELS)
    (here / "own_columns.py").write_text(MODELS.replace(".squeeze(-1)", ""))
    (here / "own_sizes.py").write_text(MODELS.replace("MLP(dim,", "MLP(dim + 1,"))
    for module, reason in (
        ("own_columns", r"ValueError: forward gives \[3, 1\] for 3 rows, where \[3\] is expected"),
        ("own_sizes", "RuntimeError: mat1 and mat2"),
    ):
        said = rf"baseline {module}:SumOfFields: failed on 3 columns and 11 fields \({reason}"
        with pytest.raises(InputError, match=said):
            recnas.baselines(data, here / "run", models=[NAME, f"{module}:SumOfFields"], progress=False)
    assert not (here / "run").exists()


def test_a_name_is_looked_at_without_importing_it(here: Path) -> None:
    check_family_name("not_there:Model")
    assert family_title("not_there:Model") == "Model"
    with pytest.raises(InputError, match="no baseline is named 'wide'; known are lr"):
        check_family_name("wide")


CHOOSING = """
from torch import nn

from recnas.nn.baselines.layers import MLP, side_by_side
from recnas.nn.baselines.registry import baseline


@baseline(choices={"hidden": ((8,), (4, 4)), "act": ("relu", "tanh")})
class Chosen(nn.Module):
    def __init__(self, num_dense, num_fields, dim, dropout=0.25, *, hidden, act):
        super().__init__()
        self.num_dense, self.dropout, self.act = num_dense, dropout, act
        self.deep = nn.Sequential(MLP(num_fields * dim + num_dense, hidden, dropout), nn.Linear(hidden[-1], 1))

    def forward(self, dense, fields):
        return self.deep(side_by_side(dense, fields, self.num_dense)).squeeze(-1)
"""


def test_an_own_baseline_is_given_dropout_and_choices_that_it_declares(here: Path, schema: Schema) -> None:
    (here / "own_choices.py").write_text(CHOOSING)
    (here / "own_models.py").write_text(MODELS)
    name = "own_choices:Chosen"
    spec = find_baseline(name)
    network = build_network(Baseline(name), schema)
    assert (network.dropout, network.act) == (0.25, "relu")
    chosen = Baseline(name, {"hidden": [4, 4], "act": "tanh"})
    network = build_network(chosen, schema, dropout=0.5)
    assert (network.dropout, network.act, network_of(network)) == (0.5, "tanh", chosen)
    assert title_of(chosen) == "Chosen (act tanh, hidden 4-4)"
    assert spec.macs(schema, chosen) == 5 * 16 * 4 + 4 * 4 + 4
    assert build_network(Baseline(name), schema, dim=8)(torch.zeros(3, 1), torch.zeros(3, 5, 8)).shape == (3,)
    with pytest.raises(InputError, match="own_choices:Chosen: act is 'x'; it must be relu or tanh"):
        build_network(Baseline(name, {"act": "x"}), schema)
    # One that declares neither is given neither.
    find_baseline(NAME)
    build_network(Baseline(NAME), schema, dropout=0.5)
    with pytest.raises(InputError, match="own_models:SumOfFields has no choice 'act'; it leaves none"):
        build_network(Baseline(NAME, {"act": "relu"}), schema)
