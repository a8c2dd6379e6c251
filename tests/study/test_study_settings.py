from __future__ import annotations

import pytest

from recnas.study.settings import StudySettings
from recnas.util.errors import InputError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"candidates": 3}, "candidates is 3; it must be 4 or more"),
        ({"seeds": 0}, "seeds is 0; it must be 1 or more"),
        ({"workers": 0}, "workers is 0; it must be 1 or more"),
        ({"warmups": []}, "warmups are empty; give one at least, such as --warmup 0.01"),
        ({"warmups": [-1]}, "-1"),
        ({"warmups": [1.5]}, "1.5"),
        ({"warmups": [0.01, 0.1, 0.01]}, "warmups have 0.01 twice"),
        ({"shares": [0.5, 1.0]}, "shares are above 0 and below 1"),
        ({"shares": [0.5, 0.5]}, "shares have 0.5 twice"),
        ({"proxies": ["zico", "zico"]}, "proxies have zico twice"),
        ({"rankings": ["zico +"]}, "'\\+' is not understood"),
        ({"rankings": ["none"]}, "rankings have 'none', which ranks nothing; leave it out"),
        ({"limits": {"max_latency_ms": 5}}, "a study has no limit on latency; leave max_latency_ms out"),
        ({"candidate": 10}, "unknown setting 'candidate'; known are"),
        ({"proxies": "zico"}, "proxies is 'zico' where a list is expected"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(given, said):
    with pytest.raises(InputError, match=said) as error:
        StudySettings.from_mapping(given)
    assert "\n" not in str(error.value)


def test_settings_are_read_as_they_were_written():
    settings = StudySettings(candidates=12, warmups=(0.0, 2.0), rankings=("sigeo", "fr - loss"))
    assert StudySettings.from_mapping(settings.to_mapping()) == settings
