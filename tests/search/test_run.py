from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml

import recnas
from recnas.candidates.candidate import Candidate, network_id_in
from recnas.candidates.defaults import DEFAULT_INPUTS
from recnas.data import Dataset, describe
from recnas.features.schema import Schema
from recnas.nn.model import sizes
from recnas.runs.folder import inputs_folder
from recnas.search import run_search
from recnas.search.training import restore
from recnas.space import Architecture, cost
from recnas.train.loop import evaluate
from recnas.util.errors import InputError, RunError
from tests.searches import explore, history_of, read_lines_of, without_seconds


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads for torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process and one thread; tests only look at it."""
    run = tmp_path_factory.mktemp("runs") / "one"
    settings = {
        "warmup": {"amount": 0.2, "probe_candidates": 3, "probe_rows": 50},
        "proxy": {"score": "sigeo", "batch_size": 16},
        "evolution": {"population": 6, "iterations": 2, "tournament": 3, "children": 2},
        "final": {
            "top_k": 2,
            "epochs": 2,
            "other_learning_rates": [0.02],
            "optimization": {"learning_rate": 0.05},
            "baselines": ["dlrm"],
        },
    }
    with threads(1):
        run_search(data, run, progress=False, **settings)
    return run


def test_a_run_holds_everything_it_decided_measured_and_made(finished: Path, data: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert [model["kind"] for model in results["models"]] == ["searched", "searched", "baseline"]
    losses = {model["id"]: model["validation"]["log_loss"] for model in results["models"]}
    searched = [model for model in results["models"] if model["kind"] == "searched"]
    assert results["best"] == min(losses, key=losses.__getitem__)
    assert results["best_searched"] == min((model["id"] for model in searched), key=losses.__getitem__)
    assert Architecture.load(finished / "architecture.json").id == results["best_searched"]
    assert json.loads((finished / "data.json").read_text()) == json.loads(json.dumps(describe(data).to_json()))
    assert yaml.safe_load((finished / "config.yaml").read_text())["evolution"]["population"] == 6
    assert [level["fraction"] for level in json.loads((finished / "supernet/warmup.json").read_text())["levels"]] == [
        0.0,
        0.01,
        0.1,
        1.0,
    ]
    fed = Schema.load(inputs_folder(finished, DEFAULT_INPUTS))
    assert sizes(fed) == (3, 8 + 3, 16)
    for model in searched:
        arch = Architecture.from_json(next(h for h in history_of(finished) if h["id"] == model["id"])["architecture"])
        assert model["parameters"] == cost.parameters(arch, *sizes(fed))
        assert (finished / "models" / model["candidate"] / "weights.safetensors").is_file()
    for network, rates in (
        (results["best_searched"], {0.05, 0.02}),
        # What is said of the recipe is said of DLRM's own, too; that has no other rates.
        ("dlrm", {0.05}),
    ):
        files = finished.glob(f"models/{network}-*/metrics.jsonl")
        assert {line["learning_rate"] for file in files for line in read_lines_of(file)} == rates


def test_finalists_are_the_best_distinct_candidates_of_the_history(finished: Path) -> None:
    history = history_of(finished)
    assert len(history) == 6 + 2 * 2
    ranked = sorted(history, key=lambda line: line["score"], reverse=True)
    results = json.loads((finished / "results.json").read_text())
    assert [model["id"] for model in results["models"][:2]] == [line["id"] for line in ranked[:2]]
    for line in history:
        proxies = line["proxies"]
        assert line["score"] == pytest.approx(proxies["zico"] + proxies["fr"] - proxies["loss"])


def test_kept_weights_give_the_reported_figures(finished: Path, data: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    best = next(model for model in results["models"] if model["id"] == results["best_searched"])
    candidate = Candidate.from_json(
        json.loads((finished / "models" / best["candidate"] / "candidate.json").read_text())
    )
    assert candidate.network == Architecture.load(finished / "architecture.json")
    dataset = Dataset(data).fed(Schema.load(inputs_folder(finished, candidate.inputs)))
    for split in ("validation", "test"):
        quality = evaluate(restore(finished, dataset.schema, candidate), dataset, split)
        assert quality.to_json() == pytest.approx(best[split], abs=1e-6)


@pytest.mark.slow
def test_other_threads_and_workers_give_the_same_bits_in_the_history_and_the_same_results(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((finished / "config.yaml").read_text())
    for key in ("version", "created", "data", "run"):
        del config[key]
    with threads(2):
        run_search(data, tmp_path / "workers", progress=False, **(config | {"workers": 2}))
        assert torch.get_num_threads() == 2
        # What comes after the history of the search is not looked at.
        explore(data, tmp_path / "threads", **config)
    one, workers, more = (without_seconds(history_of(tmp_path / name)) for name in (finished, "workers", "threads"))
    assert one == workers == more
    left, right = (json.loads((run / "results.json").read_text()) for run in (finished, tmp_path / "workers"))
    assert left["best"] == right["best"]
    for ours, theirs in zip(left["models"], right["models"], strict=True):
        assert ours["id"] == theirs["id"]
        assert ours["test"] == pytest.approx(theirs["test"], abs=1e-4)


def test_a_zero_shot_search_leaves_the_loss_out(data: Path, tmp_path: Path, small: dict) -> None:
    small["warmup"]["amount"] = 0
    small["final"]["baselines"] = []
    recnas.search(data, tmp_path / "run", progress=False, space="nasrec-full", **small)
    for line in history_of(tmp_path / "run"):
        assert line["score"] == pytest.approx(line["proxies"]["zico"] + line["proxies"]["fr"])


def test_a_folder_in_use_is_not_replaced_unasked(finished: Path, data: Path, tmp_path: Path, small: dict) -> None:
    with pytest.raises(InputError, match="exists; choose another --run, --resume to continue it, or --overwrite"):
        run_search(data, finished, progress=False, **small)
    (tmp_path / "letters").write_text("mine")
    (tmp_path / "config.yaml").write_text("mine: too")
    with pytest.raises(InputError, match="not a run's folder"):
        run_search(data, tmp_path, overwrite=True, progress=False, **small)
    assert (tmp_path / "letters").read_text() == "mine"


def test_too_few_rows_for_the_proxy_are_reported(data: Path, tmp_path: Path, small: dict) -> None:
    small["proxy"]["batch_size"] = 512
    with pytest.raises(InputError, match="--proxy-batch-size"):
        run_search(data, tmp_path / "run", progress=False, **small)


def test_a_diverged_finalist_is_reported_and_not_chosen(
    data: Path, tmp_path: Path, small: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recnas.search import training
    from recnas.train.divergence import Diverged

    original, broken = training.train, []

    def train_one_broken(learner, *arguments, **settings):
        if not broken:
            broken.append(learner)
        if learner is broken[0]:
            raise Diverged("the training loss is nan at step 1; try a smaller --learning-rate")
        return original(learner, *arguments, **settings)

    monkeypatch.setattr(training, "train", train_one_broken)
    results = run_search(data, tmp_path / "run", progress=False, **small)
    assert [model["status"] for model in results["models"]] == ["diverged", "trained", "trained"]
    assert results["best_searched"] == results["models"][1]["id"]
    assert results["models"][0]["test"] is None


def test_when_every_finalist_diverges_the_run_fails_with_the_reason(data: Path, tmp_path: Path, small: dict) -> None:
    small["final"]["optimization"]["learning_rate"] = 1e30
    with pytest.raises(RunError, match="diverged"):
        run_search(data, tmp_path / "run", progress=False, **small)


def test_a_warm_up_that_diverges_names_its_own_flag(data: Path, tmp_path: Path, small: dict) -> None:
    small["warmup"] |= {"probe_candidates": 0, "optimization": {"learning_rate": 1e30, "clip": None}}
    with pytest.raises(RunError, match=r"the training loss is nan at step \d+; try a smaller --warmup-learning-rate$"):
        run_search(data, tmp_path / "run", progress=False, **small)


def test_a_random_search_draws_all_its_candidates_at_once(data: Path, tmp_path: Path, small: dict) -> None:
    small["proxy"] |= {"score": "none"}
    run_search(data, tmp_path / "run", strategy="random", progress=False, **small)
    history = history_of(tmp_path / "run")
    assert len(history) == 10
    assert all(line["iteration"] == 0 and not line["parents"] for line in history)
    # Nothing is ranked, so the first ones are trained, and nothing was warmed up.
    trained = {network_id_in(path.parent.name) for path in (tmp_path / "run").glob("models/*/candidate.json")}
    assert trained == {"dlrm", *(line["id"] for line in history[:2])}
    assert not (tmp_path / "run" / "supernet").exists()


def test_a_short_training_ranks_without_a_warm_up(
    data: Path, tmp_path: Path, small: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    small["proxy"] |= {"score": "short_training", "short_training_rows": 200, "short_training_batch_size": 32}
    small["warmup"] |= {"max_rows_per_table": 100}
    small["evolution"]["iterations"] = 1
    # It needs neither a supernet nor the rows of proxy batches.
    small["proxy"]["batch_size"] = 10**6
    monkeypatch.setattr("recnas.search.scoring.build_supernet", lambda *_: pytest.fail("a supernet is made"))
    runs = []
    for workers in (1, 2):
        run = tmp_path / f"run{workers}"
        if workers == 1:
            run_search(data, run, progress=False, workers=workers, **small)
        else:
            # What comes after the history of the search is not looked at.
            explore(data, run, workers=workers, **small)
        runs.append([(line["id"], line["proxies"], line["score"]) for line in history_of(run)])
        assert not (run / "supernet").exists()
    assert runs[0] == runs[1]
    assert all(score == -values["short_training"] for _, values, score in runs[0])


def test_bfloat16_is_refused_beforehand_where_the_processor_multiplies_none(
    data: Path, tmp_path: Path, small: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    small["proxy"] |= {"precision": "bf16"}
    monkeypatch.setattr("recnas.search.scoring.multiplies_bfloat16", lambda: False)
    with pytest.raises(InputError, match="multiplies no bfloat16; score candidates with --proxy-precision fp32"):
        run_search(data, tmp_path / "run", progress=False, **small)
    assert not (tmp_path / "run").exists()


def test_an_unknown_proxy_is_reported_before_anything_is_done(data: Path, tmp_path: Path, small: dict) -> None:
    small["proxy"] |= {"score": "zico + lucky"}
    with pytest.raises(InputError, match="no proxy is named 'lucky'"):
        run_search(data, tmp_path / "run", progress=False, **small)
    assert not (tmp_path / "run").exists()
