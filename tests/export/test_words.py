"""How an exported model says what it is fed and how it was trained."""

from __future__ import annotations

from dataclasses import replace

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.export.words import recipe_in_words


def test_labels_are_told_of_where_an_ensemble_gave_some_of_them() -> None:
    assert "labels" not in dict(recipe_in_words(DEFAULT_RECIPE))
    assert dict(recipe_in_words(replace(DEFAULT_RECIPE, soft_labels=0.7)))["labels"].startswith("70%")
