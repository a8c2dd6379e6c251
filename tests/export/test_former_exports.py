"""Exports of earlier versions are read, with all that they say."""

import json
from dataclasses import asdict, replace

import pytest

from recnas.candidates.recipe import Recipe
from recnas.export import continue_training, evaluate_export
from recnas.export.record import TrainingRecord
from recnas.features.schema import Schema
from recnas.util.errors import InputError
from tests.export.conftest import OPTIMIZATION

SETTINGS = (
    *("learning_rate", "batch_size", "eps", "embedding_optimizer", "embedding_rate", "embedding_eps", "weight_decay"),
    *("fan_in_scale", "clip"),
)
"""What the first version of `training.json` had."""


def test_an_export_from_before_recipes_is_evaluated_and_trained_further(finished, exported, model_folder, tmp_path):
    record = json.loads((model_folder / "training.json").read_text())
    optimization = {name: asdict(OPTIMIZATION)[name] for name in SETTINGS} | {"eps": 1e-2, "embedding_eps": 1e-2}
    del record["recipe"]
    (model_folder / "training.json").write_text(json.dumps(record | {"version": 1, "optimization": optimization}))
    replace(Schema.load(model_folder), version=3).save(model_folder)
    assert TrainingRecord.load(model_folder).recipe.optimization.dense_eps == OPTIMIZATION.dense_eps
    now, then = (evaluate_export(folder, finished.data) for folder in (exported, model_folder))
    assert then == now
    continue_training(model_folder, finished.data, tmp_path / "more")
    assert TrainingRecord.load(tmp_path / "more").recipe == Recipe(replace(OPTIMIZATION, eps=1e-2, embedding_eps=1e-2))
    (model_folder / "training.json").write_text(json.dumps(record | {"version": 3}))
    with pytest.raises(InputError, match=r"training\.json: version 3 where 2 is expected; export it again"):
        continue_training(model_folder, finished.data, tmp_path / "none")
