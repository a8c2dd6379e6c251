"""A run whose ensemble has members that are fed different inputs, made without training them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import Baseline, Network, kind_of
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Dataset, fit_inputs
from recnas.features.inputs import AS_PREPARED, Inputs
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, embedding_dim, reads_first_order
from recnas.search.ensemble_selection import Mixture
from recnas.train.loop import measure
from recnas.train.metrics import quality_of
from tests.export.conftest import Finished, keep_model

RECIPE = Recipe(Optimization(learning_rate=0.01, batch_size=100), embedding_dim=8)
BINS = Inputs(("columns", "bins"), 16, crosses=("user:item",), min_count=2)
ROWS: list[dict[str, Any]] = [
    {"age": 31, "visits": 2, "price": 0.5, "user": "3", "tags": ["1", "2"], "item": 7, "places": []},
    {"age": None, "visits": 0, "price": None, "user": None, "tags": [], "item": 8, "places": ["5"]},
    {"age": 19.5, "visits": -1, "price": 4, "user": 11, "tags": ["29"], "item": 123456, "places": ["5", "6", "7"]},
]
"""Raw rows of the data set."""


class EnsembleRun(NamedTuple):
    """A finished run with an ensemble.

    Attributes:
        run: Its folder.
        data: Its data set.
        models: Members that the test makes.
        weights: Of all members.
    """

    run: Path
    data: Path
    models: list[CTRModel]
    weights: list[float]


def make_run(
    finished: Finished, folder: Path, members: list[tuple[Network, Inputs]], weights: list[float]
) -> EnsembleRun:
    """Adds members with fresh weights to a copy of a run, and the ensemble of them and its best model.

    Args:
        finished: The run.
        folder: The copy's.
        members: What is added.
        weights: Of the best model, and of these.
    """
    run = Path(shutil.copytree(finished.run, folder))
    results = json.loads((run / "results.json").read_text())
    own = Dataset(finished.data)
    models, fed, entries = [finished.model], [own], [results["models"][0]]
    torch.manual_seed(1)
    for network, inputs in members:
        dataset = own.fed(own.schema if inputs == AS_PREPARED else fit_inputs(own, inputs))
        dim = RECIPE.embedding_dim if embedding_dim(network) else 0
        embeddings = WholeEmbeddings(dataset.schema, dim, first_order=reads_first_order(network))
        model = CTRModel(dataset.schema, embeddings, build_network(network, dataset.schema, dim)).eval()
        with torch.no_grad():
            for parameter in model.network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        models.append(model)
        fed.append(dataset)
        entries.append(keep_model(run, network, model, dataset, RECIPE, inputs))
    mixtures = {"validation": Mixture(), "test": Mixture()}
    for model, dataset, weight in zip(models, fed, weights, strict=True):
        for split, mixture in mixtures.items():
            mixture.add(weight, measure(model, dataset, split).logits)
    results["ensemble"] = {
        "members": [
            {
                "id": entry["id"],
                "candidate": entry["candidate"],
                "weight": weight,
                "kind": kind_of(Candidate.from_json(read(run, entry["candidate"])).network),
                "learning_rate": entry["learning_rate"],
                "epoch": 1,
                "validation": entry["validation"],
            }
            for entry, weight in zip(entries, weights, strict=True)
        ],
        "among": 9,
        **{split: quality_of(mixture.logits, own.labels(split)).to_json() for split, mixture in mixtures.items()},
        "held_out": {"log_loss": 0.5, "single": 0.6},
        "parameters": 1,
        "macs": 1,
        "latency_ms": None,
        "over_limits": [],
    }
    (run / "results.json").write_text(json.dumps(results))
    return EnsembleRun(run, finished.data, models, weights)


def read(run: Path, candidate: str) -> dict[str, Any]:
    """What a candidate is."""
    return json.loads((run / "models" / candidate / "candidate.json").read_text())


MEMBERS: list[tuple[Network, Inputs]] = [
    (Baseline("deepfm", {"hidden": (400, 400)}), BINS),
    (Baseline("lr"), AS_PREPARED),
    (Baseline("dnn"), BINS),
]
WEIGHTS = [0.4, 0.3, 0.2, 0.1]
