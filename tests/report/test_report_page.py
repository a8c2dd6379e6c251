from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import pytest
import yaml

from recnas.report import write_report
from recnas.report.figures import proxy_figure
from recnas.report.summary import ranked, searched_model
from recnas.report.training_figures import final_training_figure
from recnas.runs.leaderboard import Quality
from recnas.runs.reader import read_run
from recnas.util.errors import InputError
from tests.report.conftest import recipe_at, write_lines
from tests.searches import read_lines_of

STAGES = ("results.json", "architecture.json", "models", "history.jsonl", "supernet", "data.json")


class Page(HTMLParser):
    """What a browser would fetch, and what a person would read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text = ""
        self._silent = 0
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self._silent += tag in ("script", "style")
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._silent:
            self.text += data


@pytest.fixture(scope="module")
def html(finished_run) -> str:
    return (finished_run / "report.html").read_text()


def text_of(run) -> str:
    return Page(write_report(run).read_text()).text


def change_results(run, change) -> None:
    results = json.loads((run / "results.json").read_text())
    change(results)
    (run / "results.json").write_text(json.dumps(results))


def folder_of(run, network_id, rate):
    return run / "models" / f"{network_id}-{recipe_at(rate).id}"


def model_of(results, kind):
    wanted = "dlrm" if kind == "baseline" else results["best"]
    return next(model for model in results["models"] if model["id"] == wanted)


def test_the_report_lies_in_the_run(run):
    assert write_report(run) == run / "report.html"


def test_the_report_fetches_nothing_and_holds_plotly_once(html):
    assert Page(html).fetched == []
    assert not re.search(r"@import|url\(\s*['\"]?http", html.split("</style>")[0])
    assert len(re.findall(r"plotly\.js \(basic - minified\) v\d", html)) == 1


def test_a_report_is_small_enough_to_be_sent_around(finished_run):
    assert (finished_run / "report.html").stat().st_size < 1_600_000


def test_plotly_comes_with_its_licence():
    folder = resources.files("recnas.report") / "plotly"
    assert "MIT License" in (folder / "LICENSE").read_text()


def test_only_what_plotlys_small_bundle_can_draw_is_drawn(html):
    kinds = set(re.findall(r'"type":"(\w+)"', html.split("<main>")[1]))
    assert kinds <= {"scatter", "data", "log", "linear", "path", "circle"}


def test_the_differences_told_are_those_of_the_figures_told(run):
    def change(results):
        model_of(results, "baseline")["test"] = {"log_loss": 0.55276, "auc": 0.79}
        model_of(results, "searched")["test"] = {"log_loss": 0.55134, "auc": 0.79}

    change_results(run, change)
    # 0.00142 would be told as 0.0014.
    assert "of 0.5513 (AUC 0.7900), the baseline DLRM 0.5528 (AUC 0.7900): 0.0015 lower" in text_of(run)


def test_a_single_epoch_is_shown_as_curves_over_the_rows_with_the_log_losses_measured(run):
    value = read_run(run)
    models, best = value.results.models, value.results.best
    epochs = {id_: tuple(item for item in items if item.epoch == 1) for id_, items in value.epochs.items()}
    kept = value.model(best).learning_rate
    for rate in (0.05, 0.1):
        lines = [{"rows": 20_000 * part, "loss": 0.7 - rate * part, "rows_per_second": 1.0} for part in (1, 2, 3, 4)]
        write_lines(folder_of(run, best, rate) / "progress.jsonl", [*lines, {"rows": 80_000, "loss": None}])
    curves = read_run(run).curves
    figure = final_training_figure(epochs, models, best, curves)
    (curve,) = [trace for trace in figure.data if trace.mode == "lines"]
    assert curve.x == (20_000, 40_000, 60_000, 80_000)
    assert curve.y == pytest.approx([0.7 - kept * part for part in (1, 2, 3, 4)])
    assert (curve.name, curve.showlegend) == ("best searched", True)
    dots = {(trace.x, trace.customdata) for trace in figure.data if trace.mode == "markers"}
    assert dots == {
        ((80_000,), (item.validation.log_loss,)) for items in epochs.values() for item in items if item.validation
    }
    assert figure.layout.xaxis.title.text == "training rows seen"
    # Of several epochs, the log loss after each is what there is to see.
    assert final_training_figure(value.epochs, models, best, curves).layout.xaxis.title.text == "epoch"


@pytest.mark.parametrize("missing", ["history.jsonl", "supernet"])
def test_results_are_reported_without_the_stages_before(run, missing):
    shutil.rmtree(run / missing) if (run / missing).is_dir() else (run / missing).unlink()
    assert "so the searched model is better" in text_of(run)


def test_the_report_names_the_data_the_settings_and_every_model(finished_run, html):
    text = Page(html).text
    for model in json.loads((finished_run / "results.json").read_text())["models"]:
        assert (model["id"] if model["kind"] == "searched" else "DLRM") in text
    for part in ("movielens", "80,000 train", "55.37%", "nasrec-small", "48 scored", "0.2.0"):
        assert part in text


def test_the_data_is_shown_by_split_and_feature(html):
    rows = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in html.split('id="data"')[1].split("<tr>")]
    for row in (
        "validation 10,000 55.38%",
        "occupation 1,021 12.7% 944 42.4% student 22.0% other 10.7%",
        "age standardize -2.25 -0.0012 3.46 1 3.1%",
    ):
        assert any(found.startswith(row) for found in rows)
    assert any(found.endswith("deviation missing") for found in rows)


def test_a_run_from_before_the_data_was_described_has_no_such_section(run):
    (run / "data.json").unlink()
    assert 'id="data"' not in write_report(run).read_text()
    assert "so the searched model is better" in text_of(run)


def test_without_dense_features_their_table_is_left_out(run):
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"dense": []}))
    assert "Sparse features" in text_of(run)
    assert "Dense features" not in text_of(run)


def test_the_paths_of_a_warm_up_step_are_told(run):
    assert "; each step trains another random candidate." in text_of(run)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    for paths, words in ((1, "another random candidate."), (4, "another 4 random candidates.")):
        (run / "config.yaml").write_text(yaml.safe_dump(settings | {"warmup": {"paths": paths}}))
        assert f"; each step trains {words}" in text_of(run)


def test_all_figures_are_there(html):
    for name in ("cost", "warmup", "training", "search", "proxy", "final", "drawing"):
        assert f'id="figure-{name}"' in html


def test_latency_limits_and_the_front_are_shown_where_there_are_any(run, html):
    plain = Page(html).text
    for word in ("latency", "limits", "objectives", "front"):
        assert word not in plain.lower()

    def change(results):
        for place, model in enumerate(results["models"]):
            model["latency_ms"] = None if model["status"] == "diverged" else 10.0 + place
        second = next(model for model in results["models"] if model["id"] not in (results["best"], "dlrm"))
        results["front"] = [results["best"], second["id"]]
        model_of(results, "baseline")["over_limits"] = ["macs", "latency"]

    change_results(run, change)
    settings = {
        "evolution": {"objectives": ["score", "latency"]},
        "limits": {"max_macs": 2_000_000, "max_parameters": None, "max_latency_ms": 12.5, "latency_batch": 512},
    }
    with (run / "config.yaml").open("a") as file:
        yaml.safe_dump(settings | {"limits": settings["limits"] | {"latency_threads": 1}}, file)
    text = text_of(run)
    for part in (
        "objectivesscore, latency",
        "limits2 M MACs a row · 12.5 ms for 512 rows",
        "DLRMover the limit on macs and latency",
        "latencyms",
        "512 rows, 1 thread",
        "Front: no other searched model",
    ):
        assert part in text


def test_a_diverged_model_is_shown_as_diverged(finished_run, html):
    models = json.loads((finished_run / "results.json").read_text())["models"]
    (diverged,) = [model["id"] for model in models if model["status"] == "diverged"]
    assert f"{diverged}diverged" in Page(html).text


def drop(results):
    """The best model becomes one that was dropped, as good as it looks."""
    best = next(model for model in results["models"] if model["id"] == results["best"])
    best.update(status="dropped", test=None, share=0.25, epoch=0.25)
    best["validation"]["log_loss"] = 0.1
    trained = [model for model in results["models"] if model["kind"] == "searched" and model["status"] == "trained"]
    results["best"] = results["best_searched"] = min(trained, key=lambda model: model["validation"]["log_loss"])["id"]
    results["front"] = [results["best"]]


def test_a_dropped_model_is_shown_with_its_share_after_the_trained_ones_and_never_as_the_best(run):
    change_results(run, drop)
    value = read_run(run)
    places = [model.status for model in ranked(value)]
    assert places == sorted(places, key=["trained", "dropped", "diverged"].index)
    (dropped,) = [model for model in ranked(value) if model.dropped]
    text = text_of(run)
    assert f"{dropped.id}dropped at 25 %" in text
    assert "the log losses are those when the first finalists were dropped" in text
    change_results(run, lambda results: results.update(best=None))
    assert searched_model(read_run(run)).status == "trained"


def test_a_rung_in_the_middle_of_an_epoch_has_its_place_in_the_figure(run):
    change_results(run, drop)
    value = read_run(run)
    (dropped,) = [model for model in value.results.models if model.dropped]
    epochs = dict(value.epochs) | {dropped.id: (replace(value.epochs[dropped.id][0], epoch=0.25),)}
    figure = final_training_figure(epochs, value.results.models, value.results.best, {})
    assert figure.layout.xaxis.tickvals == (0.25, 1, 2, 3)
    (trace,) = [trace for trace in figure.data if trace.name == "dropped"]
    assert trace.x == (0.25,)
    assert trace.marker.symbol == ("x",)


def test_proxies_are_held_against_all_finalists_as_they_were_when_the_first_were_dropped(run):
    change_results(run, drop)
    value = read_run(run)
    models, best = value.results.models, value.results.best
    finalists = [model.id for model in models if model.kind == "searched" and not model.diverged]
    (dropped,) = [model.id for model in models if model.dropped]
    epochs = dict(value.epochs)
    for place, id_ in enumerate(finalists):
        paused = replace(epochs[id_][0], epoch=0.25, validation=Quality(0.6 + place / 100, 0.7))
        epochs[id_] = (paused,) if id_ == dropped else (paused, *epochs[id_])
    figure = proxy_figure(value.history, models, epochs, best)
    assert figure.layout.yaxis.title.text == "validation log loss after epoch 0.25"
    for trace in figure.data:
        shown = dict(zip(trace.text, trace.y, strict=True))
        assert shown == {id_: 0.6 + place / 100 for place, id_ in enumerate(finalists)}
    assert len(finalists) == 4
    assert all("τ" in title.text for title in figure.layout.annotations)


def test_no_correlation_is_told_of_fewer_than_four_finalists(run):
    change_results(run, lambda results: results["models"].pop(0))
    value = read_run(run)
    figure = proxy_figure(value.history, value.results.models, value.epochs, value.results.best)
    assert [len(trace.x) for trace in figure.data] == [3] * len(figure.data)
    assert not any("τ" in title.text for title in figure.layout.annotations)


def test_a_searched_model_better_than_dlrm_is_said_to_be_better(html):
    assert "so the searched model is better" in Page(html).text


@pytest.mark.parametrize(
    ("gain", "said"),
    [(-0.004, "0.0040 higher. The search did not beat DLRM here"), (0.0004, "0.0004 lower, less than the 0.001")],
)
def test_a_searched_model_that_is_not_better_is_said_so(run, gain, said):
    def change(results):
        model_of(results, "baseline")["test"] = {"log_loss": 0.55, "auc": 0.79}
        model_of(results, "searched")["test"] = {"log_loss": 0.55 - gain, "auc": 0.79}

    change_results(run, change)
    assert said in text_of(run)


def test_the_searched_model_is_compared_with_the_baseline_that_is_best_on_validation(run):
    def change(results):
        dlrm = model_of(results, "baseline")
        better = {"log_loss": dlrm["validation"]["log_loss"] - 0.001, "auc": 0.8}
        results["models"].append(dlrm | {"id": "dcnv2", "validation": better, "test": {"log_loss": 0.53, "auc": 0.8}})
        results["models"].append(dlrm | {"id": "finalmlp", "status": "diverged", "validation": None, "test": None})
        model_of(results, "searched")["test"] = {"log_loss": 0.54, "auc": 0.79}

    change_results(run, change)
    text = text_of(run)
    assert "DCN-V2, the best of 3 baselines, 0.5300 (AUC 0.8000): 0.0100 higher" in text
    assert "The search did not beat DCN-V2 here" in text


def test_a_run_without_baselines_has_nothing_to_compare_with(run):
    change_results(
        run, lambda results: results.update(models=[m for m in results["models"] if m["kind"] == "searched"])
    )
    assert "No baseline was trained beside it" in text_of(run)


def test_a_diverged_dlrm_is_not_compared_with(run):
    change_results(run, lambda results: model_of(results, "baseline").update(status="diverged", test=None))
    assert "DLRM's training diverged" in text_of(run)


def test_a_report_is_made_from_a_search_that_was_stopped_at_any_stage(run):
    for name in STAGES:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
        assert "movielens" in text_of(run)


def test_missing_stages_are_said_in_plain_sentences(run):
    for name in STAGES:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    text = text_of(run)
    for sentence in (
        "This run has no results yet",
        "The supernet has not been warmed up",
        "No candidate has been scored",
        "has not chosen an architecture",
        "No final training has been recorded",
    ):
        assert sentence in text


def test_a_last_line_cut_short_is_mentioned(run):
    write_lines(run / "history.jsonl", read_lines_of(run / "history.jsonl")[:48])
    file = run / "history.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    assert "The last line of history.jsonl (line 48) is incomplete" in text_of(run)


def test_candidates_without_a_finite_score_are_counted(run):
    lines = read_lines_of(run / "history.jsonl")
    lines[0]["score"], lines[1]["score"] = None, float("-inf")
    write_lines(run / "history.jsonl", lines)
    assert "2 candidates have no finite score" in text_of(run)


def test_names_from_the_run_cannot_become_markup(run):
    change_results(run, lambda results: results["data"].update(name="<script>alert(1)</script>"))
    data = (run / "data.json").read_text()
    (run / "data.json").write_text(data.replace("student", "<script>alert(2)</script>"))
    assert "<script>alert" not in write_report(run).read_text()


def test_a_folder_that_is_no_run_gets_no_report(tmp_path):
    with pytest.raises(InputError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_report_needs_no_torch():
    code = "import sys, recnas.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_re_ranked_candidates_are_counted_and_a_loss_alone_is_not_shown_twice(run):
    best = read_run(run).results.best
    lines = [line for line in read_lines_of(run / "history.jsonl") if line["stage"] == "search"]
    for line in lines:
        line["proxies"] = {"short_training": -line["score"]}
    listed = next(line for line in lines if line["id"].startswith(f"{best}-"))
    write_lines(run / "history.jsonl", [*lines, {**listed, "stage": "re-ranking", "score": None}])
    assert "re-ranked1 candidates" in text_of(run)
    figure = proxy_figure(read_run(run).history, read_run(run).results.models, read_run(run).epochs, best)
    assert len(figure.data) == 1


def test_a_run_of_version_0_1_gives_the_same_report(run, old_run):
    pages = [write_report(folder).read_text() for folder in (run, old_run)]
    texts = [Page(page).text for page in pages]
    assert (
        texts[0].replace(str(run), "").split("last changed")[0]
        == texts[1].replace(str(old_run), "").split("last changed")[0]
    )


def test_long_names_are_cut_on_the_page_and_whole_when_pointed_at(run):
    data = json.loads((run / "data.json").read_text())
    name, value = "a very long name " * 20, "word " * 50
    data["sparse"][0].update(name=name, most_frequent=[[value, 0.5]])
    (run / "data.json").write_text(json.dumps(data))
    page = write_report(run).read_text()
    assert f'<span class="name" title="{name}">{name}</span>' in page
    assert f'<span class="value" title="{value}">{value}' in page
