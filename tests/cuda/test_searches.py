"""Warm-up, scoring, training, whole searches and exports on a CUDA device, against a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recnas.data import Dataset
from recnas.export import evaluate_export, export_run, load
from recnas.export.program import program_inputs
from recnas.export.rows_code import example_row
from recnas.search import run_search
from tests.searches import history_of

CLOSE_WEIGHTS = 0.02
"""How far apart warm weights may be on the mean, as a share of their size."""
CLOSE_PROXIES = 0.05
"""How far apart a candidate's proxies may be, as a share: what it inherits is not the same to the last bits."""
CLOSE_LOSS = 0.02
"""How far apart a finalist's test log losses may be: training makes differences of rounding large."""
CLOSE_PREDICTIONS = 1e-4
"""How far apart the predictions of the same weights may be."""


@pytest.fixture(scope="module")
def runs(
    device: torch.device,
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    computing_on: Callable[[torch.device], AbstractContextManager[None]],
) -> dict[str, Path]:
    """The same search on the CPU and on the device."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    settings: dict[str, Any] = {
        "strategy": "evolution",
        "warmup": {"amount": 0.2, "probe_candidates": 3, "probe_rows": 50},
        "proxy": {"score": "fr + gradient_std", "batch_size": 16},
        "evolution": {"population": 6, "iterations": 1, "tournament": 3, "children": 2},
        "final": {"top_k": 2, "epochs": 1, "baselines": ["dlrm", "deepfm"]},
    }
    for name, place in (("cpu", torch.device("cpu")), ("device", device)):
        found[name] = folder / name
        with computing_on(place):
            run_search(data, found[name], progress=False, **settings)
    return found


def test_a_supernet_is_warmed_up_as_on_a_cpu(runs: dict[str, Path]) -> None:
    expected, found = (load_file(runs[name] / "supernet" / "weights.safetensors") for name in ("cpu", "device"))
    assert found.keys() == expected.keys()
    apart = sum((found[name] - weights).abs().sum().item() for name, weights in expected.items())
    assert apart <= CLOSE_WEIGHTS * sum(weights.abs().sum().item() for weights in expected.values())


def test_candidates_are_scored_as_on_a_cpu(runs: dict[str, Path]) -> None:
    expected, found = ({line["id"]: line["proxies"] for line in history_of(runs[name])} for name in ("cpu", "device"))
    # The first ones are drawn; those that follow hang on the scores.
    both = [id_ for id_ in expected if id_ in found]
    assert len(both) >= 6
    for id_ in both:
        assert found[id_] == pytest.approx(expected[id_], rel=CLOSE_PROXIES)


def test_models_are_trained_as_on_a_cpu(runs: dict[str, Path]) -> None:
    def tested(name: str) -> dict[str, float]:
        results = json.loads((runs[name] / "results.json").read_text(encoding="utf-8"))
        return {model["id"]: model["test"]["log_loss"] for model in results["models"] if model["test"]}

    expected, found = tested("cpu"), tested("device")
    assert {"dlrm", "deepfm"} <= expected.keys() & found.keys()
    for id_ in expected.keys() & found.keys():
        assert found[id_] == pytest.approx(expected[id_], abs=CLOSE_LOSS)


def test_what_was_trained_on_the_device_is_exported_and_predicts_alike_everywhere(
    runs: dict[str, Path], data: Path, device: torch.device, tmp_path: Path
) -> None:
    exported = export_run(runs["device"], tmp_path / "model", single=True)
    here, there = load(exported), load(exported, device)
    batch = next(iter(Dataset(data).fed(here.schema).batches("test", 50)))
    with torch.inference_mode():
        expected = here(batch)
        torch.testing.assert_close(there(batch.to(device)).cpu(), expected, rtol=0, atol=CLOSE_PREDICTIONS)
        program = torch.export.load(exported / "program.pt2").module()
        found = program(*program_inputs(batch, here.schema))
        torch.testing.assert_close(found, torch.sigmoid(expected), rtol=0, atol=CLOSE_PREDICTIONS)
    row = example_row(here.schema)
    np.testing.assert_allclose(there.predict([row]), here.predict([row]), atol=CLOSE_PREDICTIONS)
    results = json.loads((runs["device"] / "results.json").read_text(encoding="utf-8"))
    said = next(model["test"]["log_loss"] for model in results["models"] if model["id"] == results["best"])
    for place in ("cpu", device):
        assert evaluate_export(exported, data, "test", device=place).log_loss == pytest.approx(said, abs=1e-5)


def test_a_search_that_trains_its_candidates_runs_to_its_end(
    data: Path,
    device: torch.device,
    tmp_path: Path,
    computing_on: Callable[[torch.device], AbstractContextManager[None]],
) -> None:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.max_memory_allocated(device)
    with computing_on(device):
        results = run_search(data, tmp_path / "run", budget="4c", progress=False)
    assert torch.cuda.max_memory_allocated(device) > before
    assert results["best"]
    losses = [model["test"]["log_loss"] for model in results["models"] if model.get("test")]
    assert losses
    assert np.isfinite(losses).all()
    assert min(losses) < 0.69
