"""What is advised on a run that is damaged or has not ended loses no work."""

import json
import re
from pathlib import Path

import pytest

import recnas
from recnas.export import export_run
from recnas.search import run_search
from recnas.util.errors import InputError


def test_no_file_of_the_package_advises_overwriting_a_run_that_cannot_be_read() -> None:
    code = {file: file.read_text() for file in Path(recnas.__file__).parent.rglob("*.py")}
    advice = [file.name for file, text in code.items() if re.search(r"--overwrite[^\n]*anew", text)]
    # Only where both flags were given, which is explained.
    assert sorted(advice) == ["__init__.py", "__init__.py", "__init__.py"]


def test_what_is_missing_or_damaged_in_a_finished_run_is_made_anew_as_advised(
    data: Path, tmp_path: Path, small: dict
) -> None:
    """Without the results, the run goes on from what it has kept: the weights that were lost are trained again."""
    run = tmp_path / "run"
    small["final"] |= {"top_k": 1, "other_learning_rates": [], "baselines": ["lr"]}
    before = run_search(data, run, progress=False, **small)
    (weights,) = run.glob("models/lr-*/weights.safetensors")
    kept = weights.read_bytes()
    weights.unlink()
    (run / "results.json").write_text('{"best": ')
    damaged = r"results\.json: not JSON .*; without .*, `recnas search --run .* --resume` makes anew"
    with pytest.raises(InputError, match=damaged):
        run_search(data, run, progress=False, resume=True, **small)
    with pytest.raises(InputError, match=damaged):
        export_run(run, tmp_path / "model")
    (run / "results.json").unlink()
    with pytest.raises(InputError, match=r"run has not ended; `recnas search --run .*run --resume` resumes it"):
        export_run(run, tmp_path / "model")
    after = run_search(run=run, resume=True, progress=False)
    assert weights.read_bytes() == kept
    assert [model["validation"] for model in after["models"]] == [model["validation"] for model in before["models"]]
    assert json.loads((run / "results.json").read_text())["best"] == before["best"]


def test_a_damaged_line_of_the_history_costs_the_lines_after_it_alone(data: Path, tmp_path: Path, small: dict) -> None:
    run = tmp_path / "run"
    small["final"] |= {"top_k": 1, "other_learning_rates": [], "baselines": []}
    before = run_search(data, run, progress=False, **small)
    (run / "results.json").unlink()
    lines = (run / "history.jsonl").read_text().splitlines()
    (run / "history.jsonl").write_text("\n".join([*lines[:4], "{", *lines[5:], ""]))
    with pytest.raises(
        InputError, match=r"history\.jsonl:5: damaged \(.*\); remove this line and those after it, and .*--resume"
    ):
        run_search(run=run, resume=True, progress=False)
    (run / "history.jsonl").write_text("\n".join([*lines[:4], ""]))
    assert run_search(run=run, resume=True, progress=False)["best"] == before["best"]
    assert [json.loads(line)["id"] for line in (run / "history.jsonl").read_text().splitlines()] == [
        json.loads(line)["id"] for line in lines
    ]
