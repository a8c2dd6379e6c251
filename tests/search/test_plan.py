"""What a search has to do, from its settings and what its proxies declare."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from recnas.candidates.defaults import own_candidate
from recnas.runs.plan import read_plan, write_plan
from recnas.runs.settings import Settings
from recnas.search.stages import plan_search

ROWS = {"train": 1000, "validation": 100, "test": 300}


def test_a_run_s_stages_have_the_rows_that_its_settings_say() -> None:
    evolution = {"population": 20, "iterations": 0}
    final = {"top_k": 5, "epochs": 2, "baselines": ["dlrm"], "other_learning_rates": []}
    default = plan_search(Settings.from_mapping({"evolution": evolution, "final": final}), ROWS)
    assert {stage.name: stage.total for stage in default.stages} == {
        "search": 20,
        "re-ranking": 20,
        "final training": 6 * 2 * 1000,
        "ensemble": 1,
        "test": 6,
    }
    assert [stage.unit for stage in default.stages] == ["candidates", "candidates", "rows", "ensembles", "models"]
    # Each look by jacov reads 128 rows, and the short training 8,192 more.
    assert [stage.rows for stage in default.stages] == [128, 8192 + 128, 1, 0, 100]
    assert [stage.trains for stage in default.stages] == [False, True, True, False, False]
    published = {"proxy": {"score": "sigeo"}, "warmup": {"amount": 0.1, "paths": 2}, "evolution": evolution}
    plan = plan_search(Settings.from_mapping(published), ROWS)
    assert list(plan.names) == ["warm-up", "search", "final training", "ensemble", "test"]
    assert (plan["warm-up"].total, plan["warm-up"].rows) == (100, 2)
    alike = final | {"top_k": 0, "baseline_recipes": "like-finalists", "other_learning_rates": [0.1, 0.2]}
    alone = plan_search(Settings.from_mapping({"final": alike | {"ensemble": 1}}), ROWS)
    assert {stage.name: stage.total for stage in alone.stages} == {"final training": 3 * 2 * 1000, "test": 1}


@pytest.mark.parametrize(
    ("tuning", "unit", "total"), [({"trials": 3}, "trials", 6), ({"trials": 3, "budget": "2m"}, "trials", 6)]
)
def test_tuning_has_its_trials_and_leaves_nothing_to_train(tuning: dict, unit: str, total: float) -> None:
    final = {"top_k": 0, "baselines": ["lr", "dlrm"], "tuning": tuning}
    plan = plan_search(Settings.from_mapping({"final": final}), ROWS)
    stages = {"tuning": total, "final training": 0, "ensemble": 1, "test": 2}
    assert {stage.name: stage.total for stage in plan.stages} == stages
    passes = statistics.mean(own_candidate(name).passes for name in ("lr", "dlrm"))
    assert (plan["tuning"].unit, plan["tuning"].rows) == (unit, passes * 1000)


@pytest.mark.parametrize(
    ("score", "rows"),
    [
        ("macs", 0),
        ("loss + macs", 2048),
        ("zico", 2048),
        ("zen", 2048),
        ("naswot - epe_nas + parameters", 128),
        ("jacov + loss", 2048),
        ("one_shot", 500 * 512),
        ("jacov + short_training", 8192 + 128),
        ("short_training - one_shot", 8192 + 500 * 512),
    ],
)
def test_a_candidate_takes_as_long_as_the_rows_that_its_proxies_look_at(score: str, rows: int) -> None:
    assert plan_search(Settings.from_mapping({"proxy": {"score": score}}), ROWS)["search"].rows == rows


def test_a_plan_survives_writing_and_reading(tmp_path: Path) -> None:
    plan = plan_search(Settings.from_mapping({"proxy": {"score": "sigeo | zico - short_training"}}), ROWS)
    assert read_plan(tmp_path) is None
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
