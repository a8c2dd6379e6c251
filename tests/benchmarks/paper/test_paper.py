"""The paper's experiments in one command: what they write, what they share, and that a killed run goes on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recnas.data_prep
from benchmarks.paper import ablation, runs, sections, table, theorem2
from benchmarks.paper.__main__ import QUICK, main
from benchmarks.paper.runs import RANDOM, Method, evolution_of
from recnas.candidates.families import FAMILIES
from recnas.proxies.expression import Expression
from recnas.strategies.evolution import EvolutionSettings
from recnas.study import trainings
from tests.searches import history_of
from tests.stopping import Stopped, stop_at
from tests.study.conftest import write_clicks

pytestmark = pytest.mark.slow

SMALL = [
    *("--workers", "1", "--quiet", "--max-rows-per-table", "1000", "--proxy-batches", "2"),
    *("--other-learning-rates", "0.002"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clicks(folder / "clicks.csv")
    columns: dict[str, Any] = {"label": "click", "dense": ["price"], "sparse": ["user", "item"]}
    recnas.data_prep.prepare("tabular", folder / "set", input=folder / "clicks.csv", progress=False, **columns)
    return folder / "set"


def command(data: Path, output: Path, *more: str) -> list[str]:
    return ["--data", str(data), "--output", str(output), "--quick", *SMALL, *more]


@pytest.fixture(scope="module")
def trained() -> list[tuple[str, float]]:
    """What the whole run trained from scratch, in this order: architecture and learning rate."""
    return []


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory, trained: list[tuple[str, float]]) -> Path:
    """The folder of a whole run."""
    output, train = tmp_path_factory.mktemp("paper") / "made", trainings.train_candidate

    def counting(settings: Any, evaluation: Any, *more: Any) -> Any:
        recipe = evaluation.candidate.recipe
        trained.append((evaluation.candidate.network_id, recipe.optimization.learning_rate))
        return train(settings, evaluation, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainings, "train_candidate", counting)
        assert main(command(data, output)) == 0
    return output


def models(output: Path, part: str) -> list[dict[str, str]]:
    with (output / part / "models.csv").open() as file:
        return list(csv.DictReader(file))


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if not name.endswith("seconds")} for row in rows]


def test_one_command_makes_all_three_and_a_page_that_shows_them(made):
    page = (made / "index.html").read_text()
    for part, module in zip(sections.PARTS, (theorem2, ablation, table), strict=True):
        section = sections.Section.load(made / part)
        assert section.title == module.TITLE
        assert (made / part / "table.md").read_text() == section.markdown
        assert f"<h2>{section.title}</h2>" in page
        assert (f'id="figure-{part}"' in page) == (section.figure is not None) == (part != "table")
        for file in ("table.md", *section.files):
            assert (made / part / file).exists()
            assert f'href="{part}/{file}"' in page


def test_a_criterion_s_best_are_the_first_of_its_own_search_with_the_sign_that_sigeo_gives_it(made):
    terms = {
        "ZiCo": lambda proxy: proxy["zico"],
        "FR": lambda proxy: proxy["fr"],
        "loss": lambda proxy: -proxy["loss"],
        "SiGeo": lambda proxy: proxy["zico"] + proxy["fr"] - proxy["loss"],
    }
    for name, score, _ in ablation.CRITERIA:
        lines = history_of(made / "searches" / "0" / f"{score}-0.01")
        assert len(lines) == QUICK["candidates"]
        ranked = sorted(lines, key=lambda line: -terms[name](line["proxies"]))
        chosen = [row for row in models(made, "ablation") if row["criterion"] == name]
        assert [row["id"] for row in chosen] == [line["id"] for line in ranked[: QUICK["best"]]]
        assert [row["place"] for row in chosen] == ["1", "2"]
    assert len([row for row in models(made, "ablation") if row["criterion"] == RANDOM.name]) == QUICK["best"]


def test_the_boxes_hold_the_losses_of_the_models(made):
    figure = sections.Section.load(made / "ablation").figure
    rows = models(made, "ablation")
    assert [box.name.split("<br>")[0] for box in figure.data] == list(dict.fromkeys(row["criterion"] for row in rows))
    for box in figure.data:
        own = [row for row in rows if row["criterion"] == box.name.split("<br>")[0]]
        assert list(box.y) == [float(row["test.log_loss"]) for row in own]
        assert box.boxpoints == "all"


def test_the_table_has_every_method_and_its_best_model_on_validation(made):
    rows = models(made, "table")
    found = ["random", "one-shot (NASRec), 100 % warm-up", "ZiCo, 1 % warm-up", "SiGeo, 1 % warm-up", "short_training"]
    found.append("two stages")
    assert [row["method"] for row in rows] == [*(family.title for family in FAMILIES.values()), *found]
    tried = [json.loads(path.read_text()) for path in (made / "trainings").rglob("result.json")]
    for row in rows[len(FAMILIES) :]:
        # Its finalists at the first learning rate, the best of them at the other, too.
        own = [item for item in tried if item["id"] == row["model"]]
        assert float(row["validation.log_loss"]) == min(item["validation"]["log_loss"] for item in own)
        chosen = min(own, key=lambda item: item["validation"]["log_loss"])
        assert float(row["test.log_loss"]) == chosen["test"]["log_loss"]
        assert len(own) == 2
    results = json.loads((made / "baselines" / "0" / "results.json").read_text())
    for model in results["models"]:
        row = next(row for row in rows if row["model"] == model["id"])
        assert float(row["test.auc"]) == model["test"]["auc"]
        assert len(model["learning_rates"]) == 1


def test_an_architecture_that_two_searches_found_is_trained_once(made, trained):
    assert len(trained) == len(set(trained))
    found = [row["id"] for row in models(made, "ablation")] + [row["model"] for row in models(made, "table")]
    rows = [id_ for id_ in found if id_ not in FAMILIES]
    assert {id_ for id_, _ in trained} >= set(rows)
    assert len(set(rows)) < len(rows)


def test_what_was_done_is_not_done_again(made, data, tmp_path, monkeypatch):
    output = tmp_path / "again"
    shutil.copytree(made, output)
    shutil.rmtree(output / "table")
    for module, name in ((runs, "go_through"), (runs, "train_baselines"), (trainings, "train_candidate")):
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))
    assert main(command(data, output, "--parts", "table")) == 0
    assert models(output, "table") == models(made, "table")


def test_a_run_that_was_killed_goes_on_and_ends_as_if_nothing_had_happened(made, data, tmp_path, monkeypatch):
    output = tmp_path / "killed"
    shutil.copytree(made, output)
    for folder in ("ablation", "trainings", "searches/0/zico-0.01"):
        shutil.rmtree(output / folder)
    for place in ("benchmarks.paper.runs.go_through", "recnas.study.trainings.train_candidate"):
        with monkeypatch.context() as patch:
            stop_at(patch, place, 1)
            with pytest.raises(Stopped):
                main(command(data, output, "--parts", "ablation"))
        assert not (output / "ablation").exists()
    assert main(command(data, output, "--parts", "ablation")) == 0
    assert without_times(models(output, "ablation")) == without_times(models(made, "ablation"))


def test_what_is_kept_of_a_search_is_its_history_not_its_supernet(made):
    kept = list((made / "searches").rglob("*"))
    assert any(path.name == "history.jsonl" for path in kept)
    assert not [path for path in kept if path.suffix == ".safetensors"]


def test_a_folder_of_other_settings_is_refused(made, data, capsys):
    assert main(command(data, made, "--parts", "table", "--eps", "0.5")) == 2
    assert "was begun with final.optimization.eps None, not 0.5; choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--seeds", "0"], "--seeds is 0; it must be 1 or more"),
        (["--best", "200"], "--best is 200, of 128 --candidates"),
        (["--warmups", "0.1", "0.1"], "a warm-up of 0.1 is asked for twice"),
        (["--ablation-warmup", "-1"], "-1"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, reason, tmp_path, capsys):
    assert main(["--output", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@given(candidates=st.integers(1, 5000))
def test_an_evolution_has_as_many_candidates_as_were_asked_for(candidates):
    evolution = evolution_of(candidates)
    assert evolution.candidates == candidates
    assert evolution.population < 128 + evolution.children


def test_an_evolution_of_2048_candidates_is_the_published_one():
    assert evolution_of(2048) == EvolutionSettings(population=128, iterations=240, tournament=64, children=8)


def test_published_figures_are_beside_the_row_that_they_are_of():
    labels = {method: method.label for method in (RANDOM, *table.methods_of((0.0, 0.01, 1.0)))}
    published = {
        label: table.PUBLISHED.get((method.score, "nasrec-small", method.warmup)) for method, label in labels.items()
    }
    # Table 5 of the paper, log loss and AUC on Criteo, GPU days; it has no ZiCo after a whole epoch.
    assert published == {
        "random": (0.4411, 0.8105, 1.0),
        "one-shot (NASRec), 100 % warm-up": (0.4395, 0.8119, 0.25),
        "ZiCo, no warm-up": (0.4408, 0.8105, 0.09),
        "ZiCo, 1 % warm-up": (0.4404, 0.8109, 0.1),
        "ZiCo, 100 % warm-up": None,
        "SiGeo, no warm-up": (0.4404, 0.8109, 0.09),
        "SiGeo, 1 % warm-up": (0.4396, 0.8117, 0.1),
        "SiGeo, 100 % warm-up": (0.4399, 0.8115, 0.1),
        "short_training": None,
        "two stages": None,
    }


def test_a_diverged_training_is_counted_and_left_out_of_its_box(made):
    line = json.loads(next((made / "trainings").rglob("result.json")).read_text())
    sound = trainings.RepetitionResult.from_json(line)
    broken = trainings.RepetitionResult.from_json(line | {"validation": None, "test": None})
    method = Method("ZiCo", "zico", 0.01)
    found = [ablation.Model(method, 0, 1, 10, sound), ablation.Model(method, 0, 2, 10, broken)]
    figure = ablation.box_plot({method: [sound.test.log_loss]}, {method: found})
    assert list(figure.data[0].y) == [sound.test.log_loss]
    assert [row["test"] for row in (item.row() for item in found)] == [sound.test.to_json(), None]
    assert table._best([broken]) is None
    assert table._best([broken, sound]) is sound


def test_two_stages_rank_by_the_second(made):
    run = made / "searches" / "0" / "jacov-jacov-short_training"
    listed = history_of(run, "re-ranking")
    values = [line["proxies"] for line in listed]
    scores = Expression.parse("jacov - short_training").standardised_scores(values)
    best = listed[max(range(len(scores)), key=scores.__getitem__)]
    assert [row["model"] for row in models(made, "table") if row["method"] == "two stages"] == [best["id"]]


def test_several_seeds_give_means_and_deviations():
    assert table._spread([0.5]) == "0.5000"
    assert table._spread([0.5, 0.6]) == "0.5500 ± 0.0707"
    assert table._spread([0.5, None]) == "–"
