"""A small data set, a model trained on it for a few steps, and the run folder that holds both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from torchrec import KeyedJaggedTensor

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Network, kind_of
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Batch, Dataset
from recnas.export import export_run
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.inputs import AS_PREPARED, Inputs
from recnas.features.schema import SPLITS, Schema
from recnas.nn.embeddings import ShardedEmbeddings, WholeEmbeddings
from recnas.nn.model import CTRModel, searched_network
from recnas.runs.models import ModelFolder
from recnas.search.feeding import keep_inputs
from recnas.space import Architecture, Block
from recnas.train.checkpoint import model_tensors
from recnas.train.loop import ModelLearner, evaluate, train
from recnas.train.tensor_files import save_tensors

ROWS = {"train": 600, "validation": 200, "test": 200}
FEATURES = (
    SparseFeature("user", 40),
    SparseFeature("tags", 7, pooling="mean", multi_valued=True),
    SparseFeature("item", 60, pooling="mean"),
    SparseFeature("places", 9, multi_valued=True),
)
DENSE = (
    DenseFeature("age", {"name": "standardize", "mean": 30.0, "std": 10.0}),
    DenseFeature("visits", {"name": "none"}),
    DenseFeature("price", {"name": "log1p"}),
)
OPTIMIZATION = Optimization(learning_rate=0.1, batch_size=50)
# Block 1 has a dead sparse part, block 2 a dead dense part.
ARCHITECTURE = Architecture(
    (
        Block(("fc",), ("efc",), 32, 16, (0,), (0,)),
        Block(("dot-product",), ("efc",), 16, 16, (0, 1), (0,)),
        Block(("dot-product",), ("attention",), 32, 16, (0, 1), (0, 2), dense_to_sparse=True, fm=True),
    )
)


class Finished(NamedTuple):
    """A finished run with its data set, and the model in it."""

    run: Path
    data: Path
    model: CTRModel


def write_data_set(folder: Path, seed: int = 0) -> Path:
    """Writes rows whose label depends on the user, with missing values and empty lists."""
    generator = np.random.default_rng(seed)

    def ids(size: int, values: int) -> list[int | None]:
        return [None if generator.random() < 0.1 else int(v) for v in generator.integers(values, size=size)]

    splits = {}
    for split, size in ROWS.items():
        users = ids(size, 20)
        chance = [0.9 if (user or 0) % 2 else 0.1 for user in users]
        labels = (generator.random(size) < chance).astype(np.int8)
        table = pa.table(
            {
                "click": pa.array(labels, pa.int8()),
                "age": pa.array(30 + 10 * generator.normal(size=size), pa.float64()),
                "visits": pa.array(generator.normal(size=size), pa.float64()),
                "price": pa.array(np.expm1(generator.random(size)), pa.float64()),
                "user": pa.array(users, pa.uint32()),
                "tags": pa.array([ids(n, 30) for n in generator.integers(4, size=size)], pa.list_(pa.uint32())),
                "item": pa.array(ids(size, 2**32), pa.uint32()),
                "places": pa.array([ids(n, 30) for n in generator.integers(3, size=size)], pa.list_(pa.uint32())),
            }
        )
        (folder / split).mkdir(parents=True)
        pq.write_table(table, folder / split / "part-00000.parquet")
        splits[split] = {"rows": size, "positives": int(labels.sum())}
    Schema("click", DENSE, FEATURES, splits, source={"name": "toy"}).save(folder)
    return folder


def keep_model(
    run: Path,
    network: Network,
    model: CTRModel,
    dataset: Dataset,
    recipe: Recipe = Recipe(OPTIMIZATION),  # noqa: B008
    inputs: Inputs = AS_PREPARED,
) -> dict[str, Any]:
    """Writes a trained model into a run's folder; gives its entry of the results."""
    candidate = Candidate(network, recipe, inputs)
    keep_inputs(run, inputs, dataset)
    folder = ModelFolder(run, candidate)
    folder.begin()
    save_tensors(folder.weights, model_tensors(model))
    entry = {"id": network.id, "candidate": candidate.id, "kind": kind_of(network), "status": "trained"}
    entry |= {"learning_rate": recipe.optimization.learning_rate, "epoch": 1}
    return entry | {split: evaluate(model, dataset, split).to_json() for split in SPLITS[1:]}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run; tests only look at it."""
    folder = tmp_path_factory.mktemp("finished")
    data, run = write_data_set(folder / "data"), folder / "run"
    dataset = Dataset(data)
    torch.manual_seed(0)
    model = CTRModel(
        dataset.schema, ShardedEmbeddings(dataset.schema, 16), searched_network(dataset.schema, ARCHITECTURE)
    )
    batches = dataset.batches("train", OPTIMIZATION.batch_size, seed=0)
    train(ModelLearner(model, OPTIMIZATION), batches, steps=len(batches))
    entry = keep_model(run, ARCHITECTURE, model, dataset)
    ARCHITECTURE.save(run / "architecture.json")
    dataset.schema.save(run)
    # The rate that was best is in results.json; the one in the settings is only where the trial began.
    final = {"epochs": 1, "optimization": asdict(OPTIMIZATION) | {"learning_rate": 0.5}}
    (run / "config.yaml").write_text(
        yaml.safe_dump({"version": version("recnas"), "data": str(data), "seed": 0, "final": final})
    )
    best = entry["id"]
    results = {"best": best, "best_searched": best, "data": {"path": str(data), "name": "toy"}, "models": [entry]}
    (run / "results.json").write_text(json.dumps(results))
    return Finished(run, data, model)


@pytest.fixture(scope="session")
def exported(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's export; tests only look at it."""
    return export_run(finished.run, tmp_path_factory.mktemp("exported") / "model")


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(finished.run, tmp_path / "run"))


@pytest.fixture
def model_folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


@pytest.fixture(scope="session")
def make_model() -> Callable[[Schema, Architecture], CTRModel]:
    """Makes a model with fresh weights."""

    def make(schema: Schema, arch: Architecture) -> CTRModel:
        return CTRModel(schema, WholeEmbeddings(schema, 16), searched_network(schema, arch)).eval()

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[[Schema, int], Batch]:
    """Makes a batch of random features, with lists of 0 to 3 ids."""

    def make(schema: Schema, rows: int) -> Batch:
        generator = torch.Generator().manual_seed(rows)
        ids, lengths = [], []
        for feature in schema.sparse:
            counts = torch.ones(rows, dtype=torch.int64)
            if feature.multi_valued:
                counts = torch.randint(4, (rows,), generator=generator)
            ids.append(torch.randint(feature.rows, (int(counts.sum()),), generator=generator))
            lengths.append(counts)
        keys = [feature.name for feature in schema.sparse]
        sparse = KeyedJaggedTensor(keys, torch.cat(ids), lengths=torch.cat(lengths))
        return Batch(torch.randn(rows, schema.num_dense, generator=generator), sparse, torch.zeros(rows))

    return make
