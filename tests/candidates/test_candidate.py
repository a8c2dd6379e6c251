"""A candidate is a value with an id: it survives JSON, and what is damaged is one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate, network_id_in
from recnas.candidates.network import BASELINE, SEARCHED, Baseline, kind_of, load_network, save_network
from recnas.candidates.recipe import Optimization, Recipe
from recnas.space import Architecture
from recnas.util.errors import InputError
from tests.candidates.values import ARCHITECTURES, BASELINES, CANDIDATES, RECIPES

JUNK = st.sampled_from([None, True, -1, 0, 10**30, 0.5, float("inf"), float("nan"), "", "x", [], {}, [[]], {"a": 1}])


@given(CANDIDATES)
def test_a_candidate_survives_json_with_its_id(candidate: Candidate) -> None:
    again = Candidate.from_json(json.loads(json.dumps(candidate.to_json())))
    assert again == candidate
    assert again.id == candidate.id
    assert hash(again) == hash(candidate)


@given(CANDIDATES)
def test_an_id_is_the_network_s_and_eight_digits_of_the_recipe_and_names_a_folder(candidate: Candidate) -> None:
    assert re.fullmatch(re.escape(candidate.network.id) + "-[0-9a-f]{8}", candidate.id)
    assert network_id_in(candidate.id) == candidate.network_id == candidate.network.id
    assert "/" not in candidate.id
    assert ":" not in candidate.id


@given(ARCHITECTURES, RECIPES)
def test_what_computes_the_same_has_one_id(arch: Architecture, recipe: Recipe) -> None:
    assert Candidate(arch.canonical(), recipe).id == Candidate(arch, recipe).id


@given(ARCHITECTURES | BASELINES, RECIPES, RECIPES)
def test_recipes_tell_candidates_of_one_network_apart(network: Any, first: Recipe, second: Recipe) -> None:
    one, two = Candidate(network, first), Candidate(network, second)
    assert (one.id == two.id) == (first == second)
    assert one.network_id == two.network_id


def test_numbers_that_are_equal_make_one_recipe() -> None:
    whole, real = Recipe(Optimization(1, 100)), Recipe(Optimization(1.0, 100))
    assert whole == real
    assert whole.id == real.id


def test_the_ids_of_a_version_are_those_of_the_next() -> None:
    recipe = Recipe(Optimization(learning_rate=0.1, batch_size=256), epochs=1)
    assert Candidate(Baseline("dlrm"), recipe).id == "dlrm-04c1a802"
    assert Candidate(Baseline("dlrm"), replace(recipe, epochs=2)).id == "dlrm-4ad7c816"


def test_batch_norm_has_batches() -> None:
    with pytest.raises(InputError, match="batch norm needs batches of two rows or more; dnn has some"):
        Candidate(Baseline("dnn", {"norm": "batch"}), Recipe(Optimization(0.1, 1)))
    with pytest.raises(InputError, match="finalnet has some"):
        Candidate(Baseline("finalnet"), Recipe(Optimization(0.1, 1)))
    for baseline in (Baseline("dnn"), Baseline("dnn", {"norm": "layer"}), Baseline("lr")):
        Candidate(baseline, Recipe(Optimization(0.1, 1)))
    Candidate(Baseline("finalnet"), Recipe(Optimization(0.1, 2)))


def paths_in(value: Any) -> list[tuple[Any, ...]]:
    """Where there is something in nested plain values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, inner in items for path in ((key,), *((key, *rest) for rest in paths_in(inner)))]


@given(CANDIDATES, st.data(), JUNK | st.just("remove"))
def test_a_damaged_candidate_is_read_or_refused_in_one_line(
    candidate: Candidate, data: st.DataObject, junk: Any
) -> None:
    values = json.loads(json.dumps(candidate.to_json()))
    *outer, last = data.draw(st.sampled_from(paths_in(values)))
    holder = values
    for key in outer:
        holder = holder[key]
    if junk == "remove":
        del holder[last]
    else:
        holder[last] = junk
    refused = ""
    try:
        read = Candidate.from_json(values)
    except InputError as error:
        refused = str(error)
    else:
        assert Candidate.from_json(read.to_json()).id == read.id
    assert "\n" not in refused


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"network": None}, "a candidate has a network and a recipe"),
        ({"recipe": []}, "a candidate has a network and a recipe"),
        ({"inputs": {"fields": [1]}}, "unknown setting 'fields'"),
        ({"network": {"version": 9, "kind": "baseline", "name": "lr"}}, "version 9 where 2 is expected"),
        ({"network": {"version": 1, "kind": "baseline", "name": 3}}, "a baseline's name is expected, not 3"),
        ({"network": {"version": 99, "blocks": []}}, "version 99 where"),
        ({"recipe": {"optimization": {}}}, "recipe: optimization.batch_size is missing"),
        ({"recipe": {"optimisation": {}}}, "recipe: unknown setting 'optimisation'"),
        ({"recipe": {"optimization": {"learning_rate": -1.0, "batch_size": 8}}}, "learning_rate is -1.0"),
    ],
)
def test_what_is_damaged_is_named(damage: dict[str, Any], message: str) -> None:
    values = Candidate(Baseline("lr"), Recipe(Optimization(0.1, 8))).to_json()
    with pytest.raises(InputError, match=message) as refused:
        Candidate.from_json(values | damage)
    assert "\n" not in str(refused.value)


@given(ARCHITECTURES | BASELINES)
def test_a_network_survives_its_file(tmp_path_factory: pytest.TempPathFactory, network: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "architecture.json"
    save_network(network, path)
    assert load_network(path) == network
    assert kind_of(network) == (BASELINE if isinstance(network, Baseline) else SEARCHED)


@pytest.mark.parametrize("text", ["[]", "{}", '{"kind": "baseline"}', '{"version": 1, "kind": "baseline"}', "{"])
def test_a_damaged_network_is_one_line_that_names_its_file(tmp_path, text: str) -> None:
    (tmp_path / "architecture.json").write_text(text)
    with pytest.raises(InputError, match=r"architecture\.json") as refused:
        load_network(tmp_path / "architecture.json")
    assert "\n" not in str(refused.value)
