"""Several processes, really started, learn what one learns, and another number of them goes on from what they kept."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recnas.train.checkpoint import newest_state, read_notes, state_tensors

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = ("rowwise", "columns", "clipped", "first_order", "adam", "decay", "own_loss", "batch_norm", "warm_up")
KEPT_AT = 11


@pytest.fixture(scope="module")
def trainings(finished, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one, two and three processes came to; the latter also go on from what one had kept."""
    folder = tmp_path_factory.mktemp("several")
    command = [sys.executable, "-m", "tests.export.trainings", str(finished.data), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {count: folder / str(count) for count in (1, 2, 3)}


@pytest.fixture(scope="module")
def results(trainings: dict[int, Path]) -> dict[int, dict]:
    return {count: json.loads((folder / "results.json").read_text()) for count, folder in trainings.items()}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_curve_is_one_processes(results: dict, trainings: dict, name: str, count: int) -> None:
    one, several = (np.array(results[number][name]["losses"]) for number in (1, count))
    assert len(one) == 30
    np.testing.assert_allclose(several[:10], one[:10], atol=2e-5)
    # Rounding grows from step to step, as in one process with other threads.
    np.testing.assert_allclose(several, one, atol=2e-3)
    weights = [load_file(trainings[number] / f"{name}.safetensors") for number in (1, count)]
    assert weights[0].keys() == weights[1].keys()
    for key, weight in weights[0].items():
        torch.testing.assert_close(weights[1][key], weight, atol=5e-3, rtol=0)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "warm_up"])
def test_metrics_are_those_of_the_whole_split(results: dict, name: str, count: int) -> None:
    for key in ("log_loss", "auc"):
        assert results[count][name]["quality"][key] == pytest.approx(results[1][name]["quality"][key], abs=2e-3)


def test_tables_are_shared_out(results: dict) -> None:
    for count in (2, 3):
        parts = results[count]["parts"]
        assert len(parts) == count
        assert all(held["rowwise"] for held in parts)
        assert sum(held["rowwise"] for held in parts) == 4
        assert sum(held["columns"] for held in parts) == 16, "rows of 16 columns in parts of 4"


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_state_of_one_process_is_gone_on_from_by_several(results: dict, name: str, count: int) -> None:
    one, several = results[1][name]["losses"][KEPT_AT:], results[count][name]["after"]
    np.testing.assert_allclose(several[:10], one[:10], atol=2e-5)
    np.testing.assert_allclose(several, one, atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_of_several_processes_is_read_as_a_whole(trainings: dict, name: str) -> None:
    states = {count: newest_state(folder / f"{name}.state") for count, folder in trainings.items()}
    tensors = {count: state_tensors(state) for count, state in states.items()}
    for count in (2, 3):
        assert read_notes(states[count])["step"] == KEPT_AT
        assert tensors[count].keys() == tensors[1].keys() == load_file(trainings[1] / f"{name}.safetensors").keys()
        for key, weight in tensors[1].items():
            torch.testing.assert_close(tensors[count][key], weight, atol=1e-3, rtol=0)
