"""Whatever a model is fed and is: module, program, ONNX and project give raw rows the same probabilities."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.candidates.families import FAMILIES
from recnas.candidates.network import Baseline, Network
from recnas.candidates.recipe import Recipe
from recnas.data import Dataset, batch_of, fit_inputs
from recnas.export import evaluate_export, export_run
from recnas.export.onnx import input_names, save_onnx
from recnas.export.program import export_program
from recnas.export.project import write_project
from recnas.export.quantize import rounded
from recnas.export.record import Stage, TrainingRecord
from recnas.features.encoding import Encoded, column_of
from recnas.features.feature import parts_of
from recnas.features.inputs import Inputs
from recnas.features.schema import Schema
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, embedding_dim, reads_first_order
from recnas.space import SearchSpace
from recnas.util.errors import InputError
from tests.export.conftest import OPTIMIZATION, keep_model
from tests.export.fed_schemas import fed_schemas, schemas
from tests.export.test_project import serve_of
from tests.export.test_project_data import ALL, data  # noqa: F401

VALUES = st.sampled_from([None, "", "NA", "7", "none", 0, 1, 7.0, -2.5, 3, 0.5, 1e30, 40, "Rome", "a", float("nan")])
LISTS = st.lists(st.sampled_from(["a", 7, 3, None, "unseen"]), max_size=3)
TRANSFORMS = st.sampled_from([{"name": "log1p"}, {"name": "log1p"}, {"name": "standardize", "mean": 1.0, "std": 1e29}])
spaces = st.sampled_from(["nasrec-small", "nasrec-full", "nasrec-cross", "nasrec-wide", "autoctr", "hierarchical"])


def searched(space: str, seed: int) -> Network:
    """The network of a random architecture of two blocks."""
    arch = SearchSpace.named(space).sample(random.Random(seed))
    return replace(arch, blocks=arch.blocks[:2]).canonical()


def model_of(network: Network, schema: Schema) -> CTRModel:
    """A model none of whose weights is zero."""
    torch.manual_seed(0)
    embeddings = WholeEmbeddings(schema, embedding_dim(network), first_order=reads_first_order(network))
    model = CTRModel(schema, embeddings, build_network(network, schema)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.rand(weight.shape)
        for weights in embeddings.tables(first_order=True).values():
            weights.copy_(torch.randn(len(weights), 1).expand_as(weights))
    return model


def probabilities(model: CTRModel, encoded: Encoded) -> torch.Tensor:
    with torch.inference_mode():
        return torch.sigmoid(model(batch_of(encoded, model.schema)))


def check_program(model: CTRModel, encoded: Encoded, expected: torch.Tensor) -> None:
    with torch.inference_mode():
        found = export_program(model).module()(*map(torch.from_numpy, encoded.arrays))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def check_onnx(model: CTRModel, encoded: Encoded, expected: torch.Tensor, folder: Path) -> None:
    import onnxruntime

    save_onnx(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    given = dict(zip(input_names([model.schema]), encoded.arrays, strict=True))
    (found,) = session.run(None, {entry.name: given[entry.name] for entry in session.get_inputs()})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def check_project(model: CTRModel, rows: Sequence[dict], expected: torch.Tensor, folder: Path) -> None:
    write_project(folder, model, TrainingRecord(Recipe(OPTIMIZATION), (Stage("toy", 1, 0.1),)))
    serve = serve_of(folder)
    assert serve.predict(serve.load_model(), rows) == pytest.approx(expected.tolist(), abs=1e-5)


@st.composite
def tame(draw: st.DrawFn, prepared: st.SearchStrategy[Schema]) -> Schema:
    """Schemas whose numbers a network bears."""
    schema = draw(prepared)
    return replace(schema, dense=tuple(replace(item, transform=draw(TRANSFORMS)) for item in schema.dense))


@st.composite
def rows_of(draw: st.DrawFn, schema: Schema) -> list[dict]:
    """Raw rows, with missing and unseen values."""
    lists = {column_of(feature) for feature in schema.sparse if feature.multi_valued}
    columns = {column_of(feature) for feature in (*schema.dense, *parts_of(schema.sparse))}
    row = {name: LISTS | VALUES if name in lists else VALUES for name in sorted(columns)}
    return [dict.fromkeys(columns), *draw(st.lists(st.fixed_dictionaries(row), min_size=1, max_size=4))]


def check_searched(draw, folder: Path, onnx: bool) -> None:
    schema = draw(fed_schemas(tame(schemas(rows=(2, 5, 9)))))
    rows = draw(rows_of(schema))
    model = model_of(searched(draw(spaces), draw(st.integers(0, 9))), schema)
    try:
        encoded = schema.encode(rows)
    except InputError:
        # That it is refused alike is for other tests.
        assume(False)
    expected = probabilities(model, encoded)
    assert torch.isfinite(expected).all()
    check_project(model, rows, expected, folder / "project")
    check_program(model, encoded, expected)
    if onnx:
        check_onnx(model, encoded, expected, folder)


def folders(root: Path):
    return (root / str(number) for number in range(1000))


@settings(max_examples=3, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_searched_models_forms_agree_whatever_it_is_fed(tmp_path_factory, data) -> None:  # noqa: F811
    check_searched(data.draw, tmp_path_factory.mktemp("model"), onnx=False)


@pytest.mark.slow
@settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_searched_models_forms_agree_with_onnx_too(tmp_path_factory, data) -> None:  # noqa: F811
    check_searched(data.draw, tmp_path_factory.mktemp("model"), onnx=True)


RAW = [
    {"price": 3, "age": None, "user": 7, "city": 3, "shop": "5", "tags": [3, 9], "words": []},
    {"price": "", "age": 31.5, "user": None, "city": "unseen", "shop": 2, "tags": None, "words": [1, 2, None]},
]
INPUTS = {
    "columns": Inputs(),
    "field": Inputs(("field",)),
    "bins": Inputs(("bins",), 16),
    "piecewise": Inputs(("piecewise",), pieces=8),
    "missing": Inputs(("columns", "missing")),
    "crosses": Inputs(("columns",), 16, crosses=("user:city", "price:shop:age"), min_count=3),
    "all": ALL,
    "dropped": replace(ALL, dropped=("user", "price", "words")),
}


def check_baseline(family: str, schema: Schema, folder: Path | None = None) -> None:
    model, encoded = model_of(Baseline(family), schema), schema.encode(RAW)
    expected = probabilities(model, encoded)
    check_program(model, encoded, expected)
    if folder is not None:
        check_onnx(model, encoded, expected, folder)
        if model.embeddings.dim:
            tables = rounded(model.embeddings.tables())
            model.embeddings.load_tables({name: table.table() for name, table in tables.items()})
            with torch.inference_mode():
                found = export_program(model, [tables]).module()(*map(torch.from_numpy, encoded.arrays))
            torch.testing.assert_close(found, probabilities(model, encoded), rtol=0, atol=1e-5)


@pytest.mark.parametrize("inputs", ["all", "dropped"])
def test_a_baselines_program_agrees_with_all_that_it_can_be_fed(data: Path, inputs: str) -> None:  # noqa: F811
    check_baseline("deepfm", fit_inputs(Dataset(data), INPUTS[inputs]))


def test_a_run_s_model_leaves_with_its_inputs_and_its_recipe(finished, run: Path, tmp_path: Path) -> None:
    inputs = Inputs(("columns", "field", "bins", "piecewise"), 16, 8, ("user:age", "item:user:visits"), min_count=3)
    dataset = Dataset(finished.data)
    fed = dataset.fed(fit_inputs(dataset, inputs))
    network = searched("nasrec-cross", 1)
    entry = keep_model(run, network, model_of(network, fed.schema), fed, DEFAULT_RECIPE, inputs)
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(results | {"best": entry["id"], "models": [entry]}))
    folder = export_run(run, tmp_path / "model", formats=["torchrec"])
    assert Schema.load(folder) == fed.schema
    assert TrainingRecord.load(folder).recipe == DEFAULT_RECIPE
    for split in ("validation", "test"):
        assert evaluate_export(folder, finished.data, split).to_json() == pytest.approx(entry[split], abs=1e-6)
    text = (folder / "README.md").read_text()
    for told in (
        "| the bin of a number | age (16 bins), visits (16 bins), price (16 bins) |",
        "| a piecewise-linear function of a number | age (8 pieces), visits (8 pieces), price (8 pieces) |",
        "| an id of several features together, of which rare and unseen values share an embedding | user × age (",
        "an L2 penalty of 0.0003 on all rows at every step",
        "| learning rate | a rise over 0.05 of the steps, then a line to 0 |",
    ):
        assert told in text
    assert "| learning rate | a rise over 0.05 of the steps" in (folder / "torchrec" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "inputs"), [*((family, "all") for family in FAMILIES), *(("finalnet", inputs) for inputs in INPUTS)]
)
def test_every_familys_forms_agree_whatever_it_is_fed(
    data: Path,  # noqa: F811
    tmp_path: Path,
    family: str,
    inputs: str,
) -> None:
    check_baseline(family, fit_inputs(Dataset(data), INPUTS[inputs]), tmp_path)
