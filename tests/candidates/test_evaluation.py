"""Evaluations at a fidelity, what a training comes to, and results."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result, Training
from recnas.util import forms
from recnas.util.documents import check_form
from tests.candidates.values import CANDIDATES, TRAININGS, training_of


@given(CANDIDATES, st.integers(1, 10**9), st.data())
def test_a_fidelity_made_of_rows_asks_for_just_these_rows(
    candidate: Candidate, pass_rows: int, data: st.DataObject
) -> None:
    total = candidate.recipe.epochs * pass_rows
    rows = data.draw(st.integers(1, total))
    assert Evaluation(candidate, rows / total).rows(pass_rows) == rows
    assert Evaluation(candidate, 1.0).rows(pass_rows) == total
    assert Evaluation(candidate).rows(pass_rows) == 0


@given(TRAININGS)
def test_a_training_survives_json(training: Training) -> None:
    for item in (training, replace(training, found={"num_leaves": 31}), replace(training, of_rows=7)):
        assert Training.from_json(json.loads(json.dumps(item.to_json()))) == item


@given(TRAININGS.filter(lambda training: training.epochs))
def test_a_training_of_recnas_0_2_had_planned_the_ends_of_passes(training: Training) -> None:
    values = training.to_json()
    for item in values["epochs"]:
        del item["planned"]
    read = Training.from_json(values)
    assert [item.planned for item in read.epochs] == [item.epoch == int(item.epoch) for item in training.epochs]


@given(TRAININGS)
def test_the_best_measurement_is_the_best_planned_one_and_the_lowest_any(training: Training) -> None:
    losses = {item.epoch: item.validation.log_loss for item in training.epochs}
    planned = {item.epoch: item.validation.log_loss for item in training.epochs if item.planned}
    assert (training.best is None) == (not planned)
    assert (training.lowest is None) == (not losses)
    if planned:
        assert training.validation.log_loss == min(planned.values())
        assert planned[training.epoch] == min(planned.values())
    else:
        assert (training.epoch, training.validation) == (0, None)
    if losses:
        assert training.lowest.validation.log_loss == min(losses.values())
    assert training.paused == (not training.finished and training.diverged is None)


@given(TRAININGS.filter(lambda training: training.epochs))
def test_what_a_training_had_come_to_is_what_it_was_when_it_paused(training: Training) -> None:
    for item, following in pairwise([*training.epochs, None]):
        for rows in {item.rows, following.rows - 1 if following else item.rows + 7}:
            then = training.paused_at(rows)
            assert then.paused
            assert then.rows == item.rows
            assert then.epochs == training.epochs[: training.epochs.index(item) + 1]
            assert then.seconds == item.seconds
            assert then.paused_at(rows) == then


@given(CANDIDATES, TRAININGS)
def test_a_training_s_score_is_its_lowest_log_loss_with_the_sign_turned_when_it_ended_that_of_what_is_kept(
    candidate: Candidate, training: Training
) -> None:
    result = Result.of_training(Evaluation(candidate, 0.5), training)
    judged = training.planned if training.finished else training.epochs
    if training.diverged is not None or not judged:
        assert result.score == -math.inf
    else:
        assert result.score == -min(item.validation.log_loss for item in judged)
    assert (result.candidate, result.training, result.seconds) == (candidate, training, training.seconds)


@given(CANDIDATES, TRAININGS, st.none() | st.floats(allow_nan=False), st.booleans())
def test_a_result_is_written_as_a_history_reads_it(
    candidate: Candidate, training: Training, score: float | None, trains: bool
) -> None:
    asked = Evaluation(candidate, 0.5 if trains else 0.0, ("a-1", "b-2"), 3)
    result = Result.of_training(asked, training) if trains else Result(asked, score, 1.5, {"zico": -math.inf})
    line = json.loads(json.dumps({"stage": "search", **result.to_json()}))
    for form in (forms.EvaluationLine, forms.CandidateLine):
        check_form(line, form)
    assert Candidate.from_json(line["candidate"]).id == line["id"] == candidate.id
    assert (line["fidelity"], line["parents"], line["iteration"]) == (asked.fidelity, ["a-1", "b-2"], 3)
    assert set(line) - {"proxies", "training"} == {
        "stage",
        "id",
        "candidate",
        "fidelity",
        "parents",
        "iteration",
        "score",
        "seconds",
    }
    assert ("training" in line, "proxies" in line) == (trains, not trains)


def test_a_training_that_diverged_after_good_epochs_is_no_good() -> None:
    assert training_of([0.1, 0.2], 10, diverged=True, finished=True).best.validation.log_loss == 0.2
    assert not training_of([0.1, 0.2], 10, diverged=True, finished=True).finished
