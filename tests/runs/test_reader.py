from __future__ import annotations

import json
from dataclasses import replace

import pytest

from recnas.report import read_run
from recnas.space import Architecture
from recnas.util.errors import InputError
from tests.searches import read_lines_of


def test_a_complete_run_is_read(run):
    value = read_run(run)
    assert len(value.history) == 16 + 8 * 4
    assert len(value.results.models) == 6
    assert [level.fraction for level in value.warmup.levels] == [0, 0.01, 0.1, 1]
    assert value.setting("warmup") == 0.01
    assert set(value.epochs) == {model.id for model in value.results.models}
    assert value.data.sparse[0].name == "occupation"
    assert value.notes == ()


def test_a_run_of_version_0_1_is_read_as_one_of_now(run, old_run):
    old, now = read_run(old_run), read_run(run)
    assert not (old_run / "models").exists()
    # Its trainings were told apart by their learning rates; they and its candidates had no ids.
    results = replace(now.results, models=tuple(replace(model, candidate=None) for model in now.results.models))
    rate_of = {epoch.training: repr(epoch.learning_rate) for epochs in now.epochs.values() for epoch in epochs}
    epochs = {
        model: tuple(replace(epoch, training=rate_of[epoch.training]) for epoch in measured)
        for model, measured in now.epochs.items()
    }
    curves = {
        model: {rate_of[training]: points for training, points in trainings.items()}
        for model, trainings in now.curves.items()
    }
    history, reranked = (
        tuple(replace(item, candidate=None, whole=None) for item in part) for part in (now.history, now.reranked)
    )
    now = replace(now, results=results, epochs=epochs, curves=curves, history=history, reranked=reranked)
    for part in ("data", "warmup", "history", "reranked", "results", "epochs", "curves", "best_architecture"):
        assert getattr(old, part) == getattr(now, part), part
    kept = {model.id: model.training for model in old.results.models if not model.diverged}
    assert all(training in {epoch.training for epoch in old.epochs[model]} for model, training in kept.items())


def test_the_best_architecture_comes_with_its_dead_parts_from_the_history(run):
    value = read_run(run)
    stored = Architecture.load(run / "architecture.json")
    assert value.best_architecture.id == stored.id == value.results.best
    assert value.best_architecture.to_json() in [candidate.architecture for candidate in value.history]


def test_a_re_ranked_candidate_has_the_proxies_of_both_stages(run):
    before = read_run(run)
    assert before.reranked == ()
    chosen = before.history[3]
    line = read_lines_of(run / "history.jsonl")[3]
    line |= {"stage": "re-ranking", "proxies": {"short_training": 0.5}, "score": None, "seconds": 4.0}
    with (run / "history.jsonl").open("a") as history:
        history.write(json.dumps(line) + "\n")
    after = read_run(run)
    assert len(after.reranked) == 1
    assert after.history[3] == replace(chosen, proxy={**chosen.proxy, "short_training": 0.5})
    assert after.history[:3] == before.history[:3]


def test_a_last_line_cut_short_is_left_out_and_noted(run):
    file = run / "history.jsonl"
    # As a process leaves it that is killed in the search.
    explored = b"".join(file.read_bytes().splitlines(keepends=True)[: 16 + 8 * 4])
    file.write_bytes(explored[:-40])
    value = read_run(run)
    assert len(value.history) == 16 + 8 * 4 - 1
    assert "history.jsonl (line 48)" in value.notes[0]


def test_a_damaged_line_before_the_last_is_an_error_with_its_number(run):
    file = run / "history.jsonl"
    lines = file.read_text().splitlines()
    lines[4] = lines[4][:30]
    file.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"history\.jsonl:5: "):
        read_run(run)


def test_a_missing_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such run folder"):
        read_run(tmp_path / "nowhere")


def test_a_folder_that_is_no_run_is_an_input_error(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="not a run folder"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.json", "{"),
        ("results.json", "[]"),
        ("results.json", "{}"),
        ("supernet/warmup.json", '{"levels": 3}'),
        ("data.json", '{"rows": {}}'),
        ("data.json", '{"rows": {"train": [], "validation": 1, "test": 1}}'),
        ("architecture.json", "{}"),
        ("config.yaml", "a: [1"),
        ("config.yaml", "- a list"),
    ],
)
def test_a_damaged_file_is_an_input_error_of_one_line_that_names_it(run, name, text):
    (run / name).write_text(text)
    with pytest.raises(InputError, match=name) as caught:
        read_run(run)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_read_as_missing(run):
    results = json.loads((run / "results.json").read_text())
    results["models"][0]["validation"] = {"log_loss": float("nan"), "auc": None}
    (run / "results.json").write_text(json.dumps(results))
    assert read_run(run).results.models[0].validation_log_loss is None
