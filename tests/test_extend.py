"""docs/extend.md: its files, written outside the package as they stand, and its commands, on little data."""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
from collections.abc import Iterator
from operator import le
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import recnas
from recnas.cli import main
from recnas.export import load
from recnas.export.network_code import NetworkCode
from recnas.features.schema import Schema
from recnas.nn.network import ChoiceNetwork
from recnas.runs.status import read_status
from recnas.space import Architecture, SearchSpace, cost
from recnas.space.operators import OPERATORS
from recnas.strategies.registry import find_strategy
from recnas.util.errors import InputError
from tests.export.written_rows import module_of
from tests.own_code import forget_modules_of, working_in
from tests.searches import history_of, read_lines_of

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
SEARCH = "--quiet --workers 1 --seed 1 --population 4 --iterations 0 --proxy-batches 2 --proxy-batch-size 16 --rerank 2"
SEARCH += " --short-training-rows 64 --top-k 1 --batch-size 400 --baselines --other-learning-rates"
TRAINING = "search --budget"
"""A search that trains its candidates, whatever its flags are."""
SMALL = {
    "prepare": "--quiet",
    "search": SEARCH,
    TRAINING: "--quiet --workers 1 --seed 1 --epochs 2 --no-with-trees",
    "baselines": "--quiet --workers 1 --batch-size 400 --learning-rates 0.05",
}
"""What makes a command of the page take seconds."""


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language; "" for commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for known, block in found if known == language]


FILES = {block.split()[1]: block for block in blocks(PAGE, "python")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with the page's files and the data set that its recipe prepares."""
    path = tmp_path_factory.mktemp("extend")
    with working_in(path):
        for name, text in FILES.items():
            (path / name).write_text(text, encoding="utf-8")
        commands(SECTIONS["A data recipe"])
        yield path


def commands(section: str) -> None:
    """Runs a section's commands one after the other."""
    for block in blocks(section, ""):
        own, others = [], []
        for line in block.splitlines():
            (own if line.startswith("recnas ") else others).append(line)
        if others:
            subprocess.run(["bash", "-ec", "\n".join(others)], check=True)
        for line in own:
            command = TRAINING if " --budget " in line else line.split()[1]
            small = SMALL.get(command, "")
            assert main([*shlex.split(line)[1:], *small.split()]) == 0, line


def test_the_table_says_how_long_each_file_is(folder: Path) -> None:
    rows = re.findall(r"^\| \[[a-z ]+\]\(#([a-z-]+)\) \|.*?\| (\d+) \|", PAGE, re.MULTILINE)
    titles = {title.lower().replace(" ", "-"): text for title, text in SECTIONS.items()}
    for anchor, lines in rows:
        assert [str(len(block.splitlines())) for block in blocks(titles[anchor], "python")] == [lines], anchor
    assert len(rows) == len(FILES) == 8


def test_an_objective_of_ones_own_is_measured_once_and_decides_who_is_on_the_front(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands(SECTIONS["An objective"])
    run, name = folder / "runs/locked", "my_objective:quality_elsewhere"
    ended = [line for line in read_lines_of(run / "history.jsonl") if line["training"]["finished"]]
    assert len(ended) == 6
    for line in ended:
        elsewhere = json.loads((run / "elsewhere/models" / line["id"] / "training.json").read_text())
        lowest = min(epoch["validation"]["log_loss"] for epoch in elsewhere["epochs"])
        assert json.loads((run / "models" / line["id"] / "objectives.json").read_text()) == {name: -lowest}
    results = json.loads((run / "results.json").read_text())
    points = {model["id"]: (model["validation"]["log_loss"], model["objectives"][name]) for model in results["models"]}
    worse = {
        one for one, own in points.items() for point in points.values() if point != own and all(map(le, point, own))
    }
    assert set(results["front"]) == set(points) - worse
    # A run from elsewhere runs no code of it.
    forget_modules_of(folder)
    assert main(["search", "--resume", "--run", "runs/locked", "--budget", "+1c", "--quiet"]) == 2
    assert "its objective runs code of the module my_objective; give --objectives" in capsys.readouterr().err
    assert main(["report", "runs/locked"]) == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", r"failed for dnn-\w+ \(ZeroDivisionError: division by zero\)"),
        ("'good'", r"it gave 'good' for dnn-\w+; a number is expected"),
        ("float('nan')", r"it gave nan for dnn-\w+; a number is expected"),
    ],
)
def test_what_goes_wrong_in_an_objective_is_one_line(folder: Path, code: str, said: str) -> None:
    forget_modules_of(folder)
    (folder / "wrong_objectives.py").write_text(f"def wrong(result, settings): return {code}\n")
    settings = {"space": "dnn", "strategy": "nsga2", "budget": "1c", "final": {"epochs": 1, "evaluations": 1}}
    objectives = {"objectives": ["score", "wrong_objectives:wrong"]}
    with pytest.raises(InputError, match=f"^objective wrong_objectives:wrong: {said}$"):
        recnas.search("data/shop", "runs/wrong", overwrite=True, progress=False, evolution=objectives, **settings)


def test_an_operator_is_searched_trained_drawn_counted_and_exported(folder: Path) -> None:
    commands(SECTIONS["An operator"])
    name = "my_operator:Swish"
    architectures = [line["architecture"] for line in history_of(folder / "runs/swish")]
    assert all(name in str(arch) for arch in architectures)
    assert "Swish" in (folder / "runs/swish/report.html").read_text()
    model = load(folder / "models/swish")
    arch, schema = model.network.architecture, model.schema
    assert any(name in block.operators for block in arch.blocks)
    weights = sum(weight.numel() for weight in model.network.parameters())
    assert weights == cost.parameters(arch, schema.num_dense, schema.num_sparse, 16)
    # The project's code computes the same.
    project = folder / "models/swish/torchrec"
    network, kept = module_of(project / "model.py").Network().eval(), load_file(project / "weights.safetensors")
    network.load_state_dict({name[8:]: tensor for name, tensor in kept.items() if name.startswith("network.")})
    dense, fields = torch.randn(5, schema.num_dense), torch.randn(5, schema.num_sparse, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(dense, fields), model.network(dense, fields), rtol=1e-5, atol=2e-6)


def test_a_model_with_an_operator_that_nobody_has_imported_says_what_to_import(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = folder / "runs/swish", folder / "models/swish"
    forget_modules_of(folder)
    assert "my_operator:Swish" not in OPERATORS
    said = "my_operator:Swish is code of its user's own; import my_operator first (on the command line: --code my_op"
    for command in (
        ["report", str(run)],
        ["export", str(run), "--output", "other"],
        ["export", str(model), "--output", "other"],
        ["evaluate", str(model), "--data", "data/shop"],
    ):
        assert main(command) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert said in printed
    # How far it is can be seen all the same.
    assert read_status(run).state == "finished"
    assert "my_operator:Swish" not in OPERATORS


def test_an_operator_without_code_has_no_project_and_one_of_a_package_is_named_by_it(folder: Path) -> None:
    text = FILES["my_operator.py"]
    silent = re.sub(r"    def write.*?\n\n\n", "\n", text, flags=re.DOTALL)
    (folder / "my_package").mkdir()
    (folder / "my_package/inner.py").write_text(silent, encoding="utf-8")
    space = SearchSpace.named("my_package.inner:with_swish")
    assert "my_package.inner:Swish" in OPERATORS
    supernet, arch = ChoiceNetwork(space, 3, 4), space.sample(random.Random(1))
    dense, fields = torch.randn(5, 3), torch.randn(5, 4, 16)
    network = supernet.extract(arch)
    torch.testing.assert_close(network(dense, fields), supernet(dense, fields, arch))
    with pytest.raises(InputError, match=r"my_package.inner:Swish has no method `write`"):
        NetworkCode(network)


def test_a_space_is_searched(folder: Path) -> None:
    commands(SECTIONS["A search space"])
    assert json.loads((folder / "runs/deep-cross/results.json").read_text())["space"] == "my_space:deep_cross"
    assert all(1 <= line["architecture"]["cross_layers"] <= 3 for line in history_of(folder / "runs/deep-cross"))


def test_a_grammar_is_searched_drawn_and_exported(folder: Path) -> None:
    commands(SECTIONS["A grammar"])
    lines = history_of(folder / "runs/towers")
    assert json.loads((folder / "runs/towers/results.json").read_text())["space"] == "my_grammar:towers"
    assert all(Architecture.from_json(line["architecture"]) in SearchSpace.named("my_grammar:towers") for line in lines)
    assert "what no block reads" in (folder / "runs/towers/report.html").read_text()
    assert (folder / "models/towers/torchrec/model.py").exists()


def test_a_strategy_proposes_by_its_name_and_as_an_object(folder: Path) -> None:
    commands(SECTIONS["A strategy"])
    lines = history_of(folder / "runs/climbing")
    assert len({line["id"] for line in lines}) == 4
    strategy = find_strategy("my_strategy:HillClimbing")()
    recnas.search(
        "data/shop",
        "runs/object",
        strategy=strategy,
        seed=1,
        workers=1,
        progress=False,
        proxy={"score": "naswot", "batches": 2, "batch_size": 16},
        evolution={"population": 4, "iterations": 0},
        final={"top_k": 1, "baselines": [], "optimization": {"batch_size": 400}},
    )
    assert [line["id"] for line in history_of(folder / "runs/object")] == [line["id"] for line in lines]


def test_a_proxy_ranks(folder: Path) -> None:
    commands(SECTIONS["A proxy"])
    lines = history_of(folder / "runs/steady")
    assert all(line["score"] == line["proxies"]["my_proxy:steadiness"] > 0 for line in lines)


def test_a_baseline_is_trained(folder: Path) -> None:
    commands(SECTIONS["A baseline"])
    own, _ = json.loads((folder / "runs/rivals/results.json").read_text())["models"]
    assert (own["id"], own["title"], own["status"]) == ("my_baseline.SumOfFields", "Sum of fields", "trained")


def test_a_recipe_prepares(folder: Path) -> None:
    schema = Schema.load(folder / "data/shop")
    assert [feature.name for feature in (*schema.dense, *schema.sparse)] == ["price", "user", "hour"]
    assert sum(counts["rows"] for counts in schema.splits.values()) == 280000 // 600
