"""Forms that let no other keys through have those of what is written."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from recnas.candidates.evaluation import Epoch, Training
from recnas.export.record import Quantization, Stage
from recnas.study.trainings import RepetitionResult
from recnas.util import export_forms, forms, study_forms


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (forms.Epoch, Epoch),
        (forms.Training, Training),
        (export_forms.Stage, Stage),
        (export_forms.Quantization, Quantization),
        (study_forms.StudyTraining, RepetitionResult),
    ],
)
def test_a_closed_form_has_the_keys_of_what_is_written(form: Any, kind: type) -> None:
    assert set(form.__annotations__) == {item.name for item in fields(kind)}
