"""A project trains by the recipe of its model, with all that the model is fed."""

import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Dataset, batch_of, fit_inputs
from recnas.export import continue_training, load
from recnas.export.folder import write_export
from recnas.export.network_code import NetworkCode
from recnas.export.project import project_tensors, write_project
from recnas.export.record import Stage, TrainingRecord
from recnas.features.schema import Schema
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel, searched_network
from recnas.nn.number_fields import inner_network
from recnas.space import SearchSpace
from tests.export.test_project import lint, serve_of, stir
from tests.export.test_project_data import ALL, data  # noqa: F401

ADAM = Optimization(0.01, 20, optimizer="adam", embedding_optimizer="adam", embedding_rate=3.0, lr_warmup_share=0.0)
RECIPES = {
    "adam": Recipe(
        replace(ADAM, embedding_penalty=3e-3, cross_penalty=3e-2, embedding_beta1=0.0, schedule="plateau", clip=0.3),
        epochs=4,
        evaluations=2,
        patience=3,
        embedding_dim=8,
        embedding_std=0.01,
    ),
    "momentum": Recipe(replace(ADAM, optimizer="adamw", weight_decay=0.01, schedule="linear", fan_in_scale=8), 2),
    "rowwise-adam": Recipe(replace(ADAM, embedding_optimizer="rowwise-adam", cross_penalty=0.01, schedule="constant")),
    "adagrad": Recipe(Optimization(0.05, 20, embedding_optimizer="adagrad", weight_decay=1e-3)),
    "decaying": Recipe(Optimization(0.05, 20, embedding_penalty=0.01, embedding_optimizer="adagrad"), 2),
    "rowwise": Recipe(Optimization(0.05, 20, embedding_penalty=0.01), dropout=0.2, evaluations=3),
}


def model_of(schema: Schema, dim: int = 16) -> CTRModel:
    """A searched model whose weights are such as training leaves."""
    torch.manual_seed(0)
    arch = SearchSpace.named("nasrec-cross").sample(random.Random(2))
    arch = replace(arch, blocks=arch.blocks[:2]).canonical()
    model = CTRModel(schema, WholeEmbeddings(schema, dim), searched_network(schema, arch, dim)).eval()
    stir(inner_network(model.network))
    return model


def record_of(recipe: Recipe) -> TrainingRecord:
    return TrainingRecord(recipe, (Stage("toy", 1, recipe.optimization.learning_rate),))


@pytest.mark.parametrize(
    "inputs",
    [ALL, replace(ALL, numbers=("field",)), replace(ALL, numbers=("piecewise",)), replace(ALL, numbers=("bins",))],
)
def test_the_written_model_gives_the_models_logits(data: Path, tmp_path: Path, inputs) -> None:  # noqa: F811
    model = model_of(fit_inputs(Dataset(data), inputs))
    for name, recipe in RECIPES.items():
        write_project(tmp_path / name, model, record_of(recipe))
    lint(tmp_path)
    serve = serve_of(tmp_path / "rowwise")
    rows = [{"price": 3, "age": None, "user": 7, "city": 3, "shop": "5", "tags": [3, 9], "words": []}, {"price": ""}]
    encoded = model.schema.encode(rows)
    with torch.inference_mode():
        expected = torch.sigmoid(model(batch_of(encoded, model.schema)))
    assert serve.predict(serve.load_model(), rows) == pytest.approx(expected.tolist(), abs=1e-6)
    written = serve.load_model().train().network
    torch.manual_seed(0)
    dense, fields = torch.rand(8, model.schema.num_dense), torch.rand(8, model.schema.num_sparse, 16)
    assert not torch.equal(written(dense, fields), written(dense, fields)), "dropout"


# Rows come in the order of the files, as recnas is given them.
SCRIPT = """
import data
import train

batches = data.DataSet.batches
data.DataSet.batches = lambda *given, shuffle=None: batches(*given)
train.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_project_learns_what_recnas_learns(
    data: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    # What dropout draws is not the same.
    recipe = replace(RECIPES[name], dropout=None)
    model = model_of(fit_inputs(Dataset(data), ALL), recipe.embedding_dim)
    export = write_export(tmp_path / "model", model, record_of(recipe), False, formats=["torchrec"])
    ordered = Dataset.batches
    monkeypatch.setattr(Dataset, "batches", lambda *given, **options: ordered(*given, **options | {"seed": None}))
    result = continue_training(export, data, tmp_path / "more", epochs=recipe.epochs)
    trained = load(tmp_path / "more")
    expected = project_tensors(trained, NetworkCode(inner_network(trained.network)))
    project = export / "torchrec"
    (project / "in_order.py").write_text(SCRIPT)
    for processes in (1, 2):
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "in_order.py"]
        flags = ["--data", data, "--output", tmp_path / "trained.safetensors", "--epochs", str(recipe.epochs)]
        done = subprocess.run(
            [sys.executable, *torchrun, *flags],
            cwd=project,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        told = re.findall(r"^epoch ([0-9.]+)  validation log loss ([0-9.]+)  AUC", done.stdout, re.MULTILINE)
        assert [float(number) for number, _ in told] == pytest.approx([epoch.number for epoch in result.epochs], 1e-5)
        losses = [epoch.validation.log_loss for epoch in result.epochs]
        assert [float(loss) for _, loss in told] == pytest.approx(losses, abs=1e-4)
        found = load_file(tmp_path / "trained.safetensors")
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, atol=2e-4, rtol=1e-3)
