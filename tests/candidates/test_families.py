"""A baseline is its family and what is chosen of what the family leaves, in one form whatever was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.families import FAMILIES, Family
from recnas.candidates.network import Baseline, network_from_json
from recnas.candidates.recipe import Optimization, Recipe
from recnas.util.errors import InputError

TABLE = {"hidden": ((400, 400), (256, 128), (64,)), "layers": (3, 1, 2), "norm": ("none", "batch"), "share": (0.5, 1.0)}
RECIPE = Recipe(Optimization(learning_rate=0.1, batch_size=256))
CHOSEN = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in TABLE.items()})


@pytest.fixture(autouse=True)
def _crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family of its own."""
    monkeypatch.setitem(FAMILIES, "crossed", Family("Crossed", TABLE))


def whole(chosen: dict[str, Any]) -> dict[str, Any]:
    return {key: chosen.get(key, values[0]) for key, values in TABLE.items()}


def id_of(baseline: Baseline) -> str:
    return Candidate(baseline, RECIPE).id


@given(CHOSEN, CHOSEN, st.randoms())
def test_baselines_are_the_same_exactly_where_all_that_is_chosen_is(first, second, rng) -> None:
    one, two = Baseline("crossed", first), Baseline("crossed", second)
    assert (one == two) == (id_of(one) == id_of(two)) == (whole(first) == whole(second))
    # Whatever is chosen, they are of one family and listed together.
    assert one.id == two.id == Candidate(one, RECIPE).network_id == "crossed"
    pairs = list(whole(first).items())
    rng.shuffle(pairs)
    again = Baseline("crossed", tuple(pairs))
    assert again == one
    assert hash(again) == hash(one)
    assert id_of(again) == id_of(one)


@given(CHOSEN)
def test_a_baseline_survives_json_which_leaves_out_what_is_as_by_default(chosen) -> None:
    written = Baseline("crossed", chosen)
    values = json.loads(json.dumps(written.to_json()))
    assert network_from_json(values) == written
    assert {key for key, value in chosen.items() if value != TABLE[key][0]} == values.get("choices", {}).keys()


def test_only_what_is_not_as_by_default_has_its_say_in_a_candidate_s_id() -> None:
    assert id_of(Baseline("crossed", {"layers": 3, "hidden": [400, 400]})) == f"crossed-{RECIPE.id}"
    for layers in (1, 1.0):
        assert id_of(Baseline("crossed", {"layers": layers})) == "crossed-5a000533"
    assert Baseline("my.models:TwoTower").id == "my.models.TwoTower"


def test_a_baseline_of_version_1_has_no_choices() -> None:
    assert network_from_json({"version": 1, "kind": "baseline", "name": "crossed"}) == Baseline("crossed")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"depth": 3}, "crossed has no choice 'depth'; its choices are hidden, layers, norm, share"),
        ({"layers": 7}, "crossed: layers is 7; it must be 3 or 1 or 2"),
        ({"hidden": [400]}, r"crossed: hidden is \(400,\); it must be 400-400 or 256-128 or 64"),
        ({"norm": "layer"}, "crossed: norm is 'layer'; it must be none or batch"),
        ({"layers": True}, "choice 'layers' is True; it must be"),
        ({"share": float("nan")}, "choice 'share' is nan; it must be"),
        ({"hidden": [0.5]}, "choice 'hidden' is"),
        ({"hidden": {"a": 1}}, "choice 'hidden' is"),
        ({"layers": None}, "choice 'layers' is None"),
        ({1: 2}, "choice 1 is 2"),
        (3, "choices are 3 where names with values are expected"),
        ([1, 2], "choices are"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(choices: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        Baseline("crossed", choices)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="lr has no choice 'layers'; it leaves none"):
        Baseline("lr", {"layers": 1})


@pytest.mark.parametrize("name", FAMILIES)
def test_the_values_of_a_choice_are_all_different_and_of_one_kind(name: str) -> None:
    for key, values in FAMILIES[name].choices.items():
        assert len(set(values)) == len(values) > 1, key
        assert len({type(value) for value in values}) == 1, key


def test_all_that_can_be_chosen_goes_together() -> None:
    finalmlp, finalnet = FAMILIES["finalmlp"].choices, FAMILIES["finalnet"].choices
    for heads in finalmlp["heads"]:
        assert all(widths[-1] % heads == 0 for widths in (*finalmlp["hidden"], *finalmlp["second"]))
    # Its layers have halves.
    assert all(width % 2 == 0 for widths in (*finalnet["hidden"], *finalnet["second"]) for width in widths)
