"""The figure of clicks over predictions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.evaluation import CalibrationBin
from recnas.report.calibration_figure import calibration_figure, wilson
from recnas.runs.leaderboard import Ensemble, Model, Quality, Results

BINS = (CalibrationBin(0.1, 0.0, 50), CalibrationBin(0.4, 0.5, 60))


def results(bins: tuple[CalibrationBin, ...], ensemble: Ensemble | None = None) -> Results:
    model = Model("m", "baseline", "trained", None, None, 1, 1, 0.1, 1.0, 1.0, calibration=bins)
    return Results("m", "data", {}, 0.5, None, (model,), {}, ensemble=ensemble)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_an_interval_has_the_share_in_it_and_is_a_share_itself(rows: int, share: float) -> None:
    low, high = wilson(CalibrationBin(0.5, share, rows))
    assert 0 <= low <= high <= 1
    assert low - 1e-12 <= share <= high + 1e-12


def test_the_interval_is_wilsons() -> None:
    assert wilson(CalibrationBin(0.5, 0.1, 100)) == pytest.approx((0.0552, 0.1744), abs=1e-4)


def test_the_best_model_and_the_ensemble_are_shown_beside_the_line() -> None:
    quality = Quality(0.5, 0.7)
    ensemble = Ensemble((), 2, quality, 0.5, 0.5, quality, 1, 1, None, (), calibration=BINS)
    figure = calibration_figure(results(BINS, ensemble))
    assert [trace.name for trace in figure.data[1:]] == ["best model", "ensemble"]
    assert list(figure.data[1].y) == [0.0, 0.5]
    assert figure.layout.xaxis.type is None


def test_where_clicks_are_rare_axes_are_logarithmic() -> None:
    rare = tuple(replace(item, predicted=item.predicted / 50, clicked=item.clicked / 50) for item in BINS)
    figure = calibration_figure(results(rare))
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_of_runs_that_did_not_tell_there_is_no_figure() -> None:
    assert calibration_figure(results(())) is None
