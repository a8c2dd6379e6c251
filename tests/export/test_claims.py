"""What the files of an export claim is held against the weights before memory is taken, and these are numbers."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from recnas.cli import main
from recnas.export import continue_training, load
from recnas.util.errors import InputError

Change = Callable[[dict[str, Any]], Any]


def _widths(name: str, width: int) -> Change:
    return lambda value: [block.update({name: width}) for block in value["blocks"] if block[name]]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("architecture.json", lambda v: v.update(cross_layers=2147483647), "cross_layers is 2147483647; 0 to 100 are"),
        ("architecture.json", lambda v: v.update(cross_layers=100), "cross.* is missing"),
        ("architecture.json", _widths("dense_width", 10**30), "has dense_width 10{30} with"),
        ("architecture.json", _widths("sparse_width", 2**20), "is .* where .1048576, .* is expected"),
        ("architecture.json", lambda v: v.update(blocks=v["blocks"] * 1000), "3000 blocks where 1 to 100"),
        ("schema.json", lambda v: v["sparse"][0].update(rows=2**31 - 1), r"tables.user is .*40, 16"),
        ("schema.json", lambda v: v["sparse"][0].update(rows=10**30), "table rows, it must be a whole number"),
        (
            "schema.json",
            lambda v: v["sparse"].extend({"name": f"x{i}", "rows": 2**31 - 1} for i in range(1000)),
            "tables.x0 is missing",
        ),
    ],
)
def test_a_size_that_a_file_claims_takes_no_memory(
    finished, model_folder: Path, tmp_path: Path, name: str, change: Change, told: str
) -> None:
    value = json.loads((model_folder / name).read_text())
    change(value)
    (model_folder / name).write_text(json.dumps(value))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InputError, match=told) as refused:
        load(model_folder)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError):
        continue_training(model_folder, finished.data, tmp_path / "out")
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensor: tensor.fill_(float("nan")), "has numbers that are not finite"),
        (lambda tensor: tensor.fill_(float("inf")), "has numbers that are not finite"),
        (lambda tensor: tensor.to(torch.int64), "is int64 where float32 is expected"),
        (lambda tensor: tensor.to(torch.complex64), "is complex64 where float32 is expected"),
        (lambda tensor: tensor.to(torch.float16), "is float16 where float32 is expected"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(
    finished, model_folder: Path, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], told: str
) -> None:
    file = model_folder / "weights.safetensors"
    tensors = load_file(file)
    for name in ("network.last.bias", "tables.item"):
        save_file({**tensors, name: change(tensors[name].clone())}, file)
        for read in (load, lambda folder: continue_training(folder, finished.data, tmp_path / "out")):
            with pytest.raises(InputError, match=rf"weights\.safetensors: the weight {name} {told}"):
                read(model_folder)


def test_figures_that_are_no_numbers_are_not_printed(finished, model_folder: Path, capsys) -> None:
    file = model_folder / "weights.safetensors"
    save_file({name: torch.full_like(tensor, 3e38) for name, tensor in load_file(file).items()}, file)
    load(model_folder)
    assert main(["evaluate", str(model_folder), "--data", str(finished.data)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "predictions for the test rows are not finite numbers" in said.err


def test_the_readme_says_whom_to_trust_and_shows_names_as_they_are(model_folder: Path) -> None:
    text = (model_folder / "README.md").read_text()
    assert "load a program only if you trust" in " ".join(text.split())
