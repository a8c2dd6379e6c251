"""The final training, in full and by halving."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Dataset
from recnas.execution.executor import ThisProcess
from recnas.runs.final_settings import FinalSettings
from recnas.runs.rungs import planned_rows, rungs
from recnas.runs.settings import Settings
from recnas.search import training as training_module
from recnas.search.conclusion import front
from recnas.search.context import RunContext
from recnas.search.costs import Costs
from recnas.search.final_training import FinalTraining
from recnas.search.run import conclude
from recnas.search.stage import Findings
from recnas.search.testing import Test as TestStage
from recnas.search.worker import Worker
from recnas.space import Architecture, SearchSpace, cost
from recnas.strategies.halving import survivors
from recnas.strategies.pareto import objectives
from recnas.train.divergence import Diverged
from recnas.util.console import Console
from recnas.util.errors import RunError


def final_settings(batch_size: int, **settings: Any) -> FinalSettings:
    return FinalSettings(optimization=Optimization(learning_rate=0.1, batch_size=batch_size), **settings)


@given(
    finalists=st.integers(1, 200),
    rows=st.integers(1, 10_000),
    batch_size=st.integers(1, 5_000),
    epochs=st.integers(1, 4),
    first_share=st.floats(0.001, 0.999),
)
def test_rungs_are_growing_whole_batches_and_the_last_is_the_whole_training(
    finalists: int, rows: int, batch_size: int, epochs: int, first_share: float
) -> None:
    final = final_settings(batch_size, strategy="halving", first_share=first_share, epochs=epochs)
    stops = rungs(final, finalists, rows)
    assert stops == sorted(set(stops))
    assert stops[-1] == rows * epochs
    assert all(stop % rows == 0 or stop % rows % batch_size == 0 for stop in stops)
    # No earlier than asked, and by a batch too late at most.
    assert len(stops) == 1 or first_share * rows * epochs <= stops[0] < first_share * rows * epochs + batch_size + 1
    assert (len(stops) == 1) or finalists > 2
    # The baseline is trained in full.
    assert planned_rows(final, finalists, 1, rows) <= (finalists + 1) * rows * epochs


def test_fifteen_finalists_are_halved_three_times() -> None:
    final = final_settings(100, strategy="halving", first_share=0.125, epochs=1)
    stops = rungs(final, 15, 80_000)
    assert stops == [10_000, 20_000, 40_000, 80_000]
    dlrm = 80_000
    assert planned_rows(final, 15, 1, 80_000) == 15 * 10_000 + 8 * 10_000 + 4 * 20_000 + 2 * 40_000 + dlrm
    assert rungs(final_settings(100, epochs=1), 15, 80_000) == [80_000]


ANY = SearchSpace.named("nasrec-small").sample(random.Random(0))


def trained(name: int, log_loss: float, diverged: bool) -> Result:
    epochs = (Epoch(0.1, 0.5, 100, 0.7, Quality(log_loss, 0.5), 1.0, planned=False),)
    # Candidates are told apart by their recipes.
    candidate = Candidate(ANY, Recipe(Optimization(0.1, 100), epochs=1 + name))
    training = Training(epochs, False, "nan" if diverged else None, 1.0, 10)
    return Result.of_training(Evaluation(candidate, 0.5), training)


@given(st.lists(st.tuples(st.floats(0.1, 2.0), st.booleans()), min_size=1, max_size=30))
def test_the_half_with_the_lowest_log_loss_goes_on_and_none_that_diverged(rung: list[tuple[float, bool]]) -> None:
    field = [trained(name, *item) for name, item in enumerate(rung)]
    chosen = survivors(field, lambda result: objectives(result.score, ()))
    left = [item for item in field if item.candidate in chosen]
    sound = [item.training for item in field if item.training.diverged is None]
    assert len(left) == min(len(sound), max(2, -(-len(field) // 2)))
    assert [item.candidate for item in left] == chosen
    kept = [item.training for item in left]
    for item in sound:
        assert item in kept or all(
            item.lowest.validation.log_loss >= other.lowest.validation.log_loss for other in kept
        )


def test_with_costs_as_objectives_cheap_finalists_go_on_too() -> None:
    field = [trained(place, log_loss, False) for place, log_loss in enumerate([0.50, 0.51, 0.52, 0.53, 0.60])]
    # All have the same architecture here; the order of the questions tells their costs apart.
    costs = iter([50.0, 60.0, 70.0, 80.0, 1.0])
    left = survivors(field, lambda result: objectives(result.score, (next(costs),)))
    assert left == [field[place].candidate for place in (0, 1, 4)]


@pytest.fixture(scope="module")
def history(sample: Callable[..., list[Architecture]]) -> list[Result]:
    """Five small candidates, the best scored first."""
    small = sorted(sample("nasrec-small", 60), key=lambda arch: cost.macs(arch, 3, 8, 16))[:5]
    recipe = Recipe(Optimization(0.1, 100))
    return [Result(Evaluation(Candidate(arch, recipe)), -float(place), 0.0) for place, arch in enumerate(small)]


def finals(
    data: Path, run: Path, history: list[Result], executor: type[ThisProcess] = ThisProcess, **final: Any
) -> dict[str, Any]:
    """Results of the final training of five candidates; rungs are in the middle of a pass and at its end."""
    values = {"top_k": 5, "first_share": 0.25, "epochs": 2, "baselines": [], "other_learning_rates": [0.02]}
    optimization = {"learning_rate": 0.05, "batch_size": 200}
    settings = Settings.from_mapping(
        {"data": str(data), "run": str(run), "final": {**values, "optimization": optimization, **final}}
    )
    run.mkdir(exist_ok=True)
    dataset = Dataset(data)
    with executor(Worker, (settings,)) as workers:
        context = RunContext(run, settings, dataset, Costs(settings, dataset), workers, Console(False))
        with closing(context.history):
            findings = Findings(explored=history)
            for stage in (FinalTraining(settings.final.baselines), TestStage()):
                stage.run(context, findings)
            return conclude(context, findings)


@pytest.fixture(scope="module")
def halved(data: Path, tmp_path_factory: pytest.TempPathFactory, history: list[Result]) -> tuple[Path, dict]:
    run = tmp_path_factory.mktemp("runs") / "halved"
    return run, finals(data, run, history, strategy="halving")


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("seconds", "run")}


def lines_of(run: Path, id_: str) -> list[dict[str, Any]]:
    """The measurements of a network, those with the first learning rate first."""
    files = sorted((run / "models").glob(f"{id_}-*/metrics.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return sorted(lines, key=lambda line: -line["learning_rate"])


def test_a_model_that_halving_trains_to_the_end_is_the_one_that_never_paused(
    data: Path, tmp_path: Path, history: list[Result], halved: tuple[Path, dict]
) -> None:
    run, results = halved
    whole = tmp_path / "full"
    full = finals(data, whole, history, strategy="full")
    kept = {model["id"]: model for model in results["models"] if model["status"] == "trained"}
    assert len(kept) == 2
    assert [model["status"] for model in full["models"]] == ["trained"] * 5
    for model in full["models"]:
        if model["id"] in kept and model["id"] != results["best"]:
            assert timeless(kept[model["id"]]) == timeless(model)
    for id_ in kept:
        rates = [line["learning_rate"] for line in lines_of(run, id_)]
        for line in lines_of(whole, id_):
            if line["learning_rate"] in rates:
                assert timeless(line) in map(timeless, lines_of(run, id_))


def test_a_dropped_model_keeps_its_figures_and_nothing_else(halved: tuple[Path, dict]) -> None:
    run, results = halved
    dropped = [model for model in results["models"] if model["status"] == "dropped"]
    assert sorted(model["share"] for model in dropped) == [0.25, 0.25, 0.5]
    for model in dropped:
        lines = lines_of(run, model["id"])
        assert [line["epoch"] for line in lines] == [0.5, 1][: len(lines)]
        assert lines[-1]["rows"] == 2 * 1200 * model["share"]
        assert model["test"] is None
        assert model["validation"] in [line["validation"] for line in lines]
        assert sorted(path.name for path in (run / "models" / model["candidate"]).iterdir()) == [
            "candidate.json",
            "metrics.jsonl",
            "progress.jsonl",
            "training.json",
        ]
    assert not list(run.rglob("checkpoint"))
    worst_kept = max(
        lines_of(run, model["id"])[0]["validation"]["log_loss"]
        for model in results["models"]
        if model.get("share", 1.0) > 0.25
    )
    for model in dropped:
        if model["share"] == 0.25:
            assert model["validation"]["log_loss"] >= worst_kept


class Backwards(ThisProcess):
    """Begins with the last item, as processes side by side may."""

    def map(
        self,
        function: Callable[[Any, Any], Any],
        items: Sequence[Any],
        effort: Callable[[Any], float],
        single_threaded: bool = False,
        apart: bool = False,
    ) -> Iterator[Any]:
        yield from reversed([function(self.worker, item) for item in reversed(items)])


def test_the_order_in_which_a_rung_is_trained_changes_nothing(
    data: Path, tmp_path: Path, history: list[Result], halved: tuple[Path, dict]
) -> None:
    results = finals(data, tmp_path / "run", history, Backwards, strategy="halving")
    assert list(map(timeless, results["models"])) == list(map(timeless, halved[1]["models"]))


def test_two_finalists_are_both_trained_to_the_end(data: Path, tmp_path: Path, history: list[Result]) -> None:
    results = finals(data, tmp_path / "run", history, strategy="halving", top_k=2, epochs=1)
    assert [model["status"] for model in results["models"]] == ["trained", "trained"]
    # At each of two learning rates.
    assert [line["epoch"] for line in lines_of(tmp_path / "run", results["best"])] == [0.5, 1] * 2


def breaking(monkeypatch: pytest.MonkeyPatch, broken: set[str], from_step: int) -> None:
    """Makes the trainings of some networks diverge once they have come to a step."""
    train, train_candidate = training_module.train, training_module.train_candidate
    current: list[str] = []

    def remembering(settings: Settings, evaluation: Evaluation) -> Result:
        current[:] = [evaluation.candidate.network_id]
        return train_candidate(settings, evaluation)

    def failing(*arguments: Any, first_step: int, **options: Any) -> float:
        if current[0] in broken and first_step >= from_step:
            raise Diverged("the training loss is nan at step 1; try a smaller --learning-rate")
        return train(*arguments, first_step=first_step, **options)

    monkeypatch.setattr("recnas.search.worker.train_candidate", remembering)
    monkeypatch.setattr(training_module, "train", failing)


def test_finalists_that_diverge_go_first(
    data: Path, tmp_path: Path, history: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [item.candidate.network_id for item in history]
    breaking(monkeypatch, set(ids[:2]), from_step=0)
    results = finals(data, tmp_path / "run", history, strategy="halving", epochs=1)
    assert [model["status"] for model in results["models"]].count("diverged") == 2
    # Of five the better three go on: those that are left.
    assert [model.get("share") for model in results["models"] if model["status"] == "dropped"] == [0.5]


@pytest.mark.parametrize("from_step", [0, 2])
def test_a_rung_in_which_all_diverge_is_an_error(
    data: Path, tmp_path: Path, history: list[Result], monkeypatch: pytest.MonkeyPatch, from_step: int
) -> None:
    breaking(monkeypatch, {item.candidate.network_id for item in history}, from_step)
    with pytest.raises(RunError, match=r"every finalist's training diverged: .* try a smaller --learning-rate"):
        finals(data, tmp_path / "run", history, strategy="halving", epochs=1)


def test_no_trained_model_stays_in_memory(data: Path, tmp_path: Path, history: list[Result]) -> None:
    def modules() -> int:
        return sum(issubclass(type(item), nn.Module) for item in gc.get_objects())

    gc.collect()
    before = modules()
    # Nothing but a collection that is asked for.
    gc.disable()
    try:
        finals(data, tmp_path / "run", history, top_k=2, epochs=1)
        assert modules() == before
    finally:
        gc.enable()


def test_a_dropped_model_is_never_on_the_front() -> None:
    def model(id_: str, status: str, log_loss: float, macs: int) -> dict[str, Any]:
        quality = {"log_loss": log_loss, "auc": 0.7}
        return {"id": id_, "kind": "searched", "status": status, "validation": quality, "macs": macs}

    models = [model("a", "trained", 0.5, 20), model("b", "dropped", 0.4, 10), model("c", "trained", 0.6, 15)]
    assert front(models, ["score", "macs"]) == ["a", "c"]
    # Nobody timed the one that was dropped.
    timed = [item | {"latency_ms": 1.0 if item["status"] == "trained" else None} for item in models]
    assert front(timed, ["score", "latency"]) == ["a"]


def test_on_a_front_stand_the_families_that_were_searched_and_no_trees_beside_them() -> None:
    def model(name: str, loss: float, macs: int | None) -> dict[str, Any]:
        return {"id": name, "kind": "baseline", "status": "trained", "validation": {"log_loss": loss}, "macs": macs}

    models = [model("dnn", 0.40, 100), model("lightgbm", 0.38, None), model("dcnv2", 0.41, 50), model("lr", 0.5, 1)]
    assert front(models, ("score", "macs"), ("dnn", "dcnv2")) == ["dnn", "dcnv2"]
    assert front(models, ("score", "macs")) == []
