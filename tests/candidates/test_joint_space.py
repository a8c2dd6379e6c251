"""The joint space: whole candidates drawn, changed, and written as numbers."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import DEFAULT_INPUTS, DEFAULT_RECIPE, own_candidate
from recnas.candidates.families import FAMILIES, TREES
from recnas.candidates.joint_space import CROSS_PENALTY, DROPPED, JOINT_IDS, WHOLE, JointSpace
from recnas.candidates.recipe_choices import Options, Span
from recnas.features.inputs import Inputs
from recnas.space import SearchSpace
from recnas.util.errors import InputError

JOINT = ("a:b", "c:d", "e:f")
LEAST = ("p", "q", "r")
SPACE = JointSpace((*FAMILIES, *TREES), SearchSpace.named("nasrec-cross"), JOINT, JOINT[1:], droppable=LEAST)


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(SPACE.kinds), changes=st.integers(1, 6))
def test_what_is_drawn_or_changed_is_of_the_space_and_as_many_numbers(seed: int, kind: str, changes: int) -> None:
    rng = random.Random(seed)
    drawn = SPACE.draw(rng, kind)
    changed = SPACE.mutate(drawn, rng, changes)
    assert drawn in SPACE
    assert changed in SPACE
    assert SPACE.kind_of(changed) == kind
    assert changed.id != drawn.id
    numbers = SPACE.encode(drawn), SPACE.encode(changed)
    assert len(numbers[0]) == len(numbers[1]) == len(SPACE.encode(own_candidate("lr")))
    assert all(-1 <= number <= 1 for number in (*numbers[0], *numbers[1]))
    assert Candidate.from_json(changed.to_json()) == changed


@given(seed=st.integers(0, 2**32))
def test_a_draw_takes_values_of_the_table_in_every_place(seed: int) -> None:
    drawn = SPACE.draw(random.Random(seed))
    for place, item in SPACE.table(SPACE.kind_of(drawn)).items():
        value = SPACE.value(drawn, place)
        if isinstance(item, Span):
            assert item.least <= value <= item.most
        else:
            assert value in item.values


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(SPACE.kinds))
def test_a_neighbour_differs_in_exactly_one_choice_and_has_what_it_is_a_neighbour_of_as_its_own(
    seed: int, kind: str
) -> None:
    rng = random.Random(seed)
    # Of numbers in a span only some are options, of which a draw may be none.
    options = {place: rng.choice(list(item.options())) for place, item in SPACE.choices(kind).items()}
    candidate = SPACE.with_values(SPACE.draw(rng, kind), options)
    neighbours = list(SPACE.neighbours(candidate))
    values = SPACE.values(candidate)
    assert values == {place: SPACE.value(candidate, place) for place in SPACE.choices(kind)} == options
    for neighbour in neighbours:
        assert neighbour in SPACE
        assert neighbour.id != candidate.id
        assert sum(value != values[place] for place, value in SPACE.values(neighbour).items()) == 1
    for neighbour in rng.sample(neighbours, min(3, len(neighbours))):
        assert candidate in set(SPACE.neighbours(neighbour))
    moves = sum(len(others) for others in SPACE.moves(candidate).values())
    if kind == SPACE.space.name:
        # What is of a part that cannot reach the logit makes no other candidate.
        architectures = {arch.id for arch in SPACE.space.neighbours(candidate.network)} - {candidate.network_id}
        own = {item.network_id for item in neighbours if item.recipe == candidate.recipe}
        assert own - {candidate.network_id} == architectures
    else:
        assert len({item.id for item in neighbours}) == moves


def test_choices_of_a_place_that_kinds_share_have_one_name_and_others_one_each() -> None:
    names = SPACE.decisions()
    by_name: dict[str, set[object]] = {}
    for kind, own in names.items():
        assert own.keys() == SPACE.choices(kind).keys()
        for place, name in own.items():
            by_name.setdefault(name, set()).add(SPACE.choices(kind)[place])
    assert all(len(items) == 1 for items in by_name.values())
    assert names["dnn"]["recipe.dropout"] == names["nasrec-cross"]["recipe.dropout"]
    assert names["dnn"]["network.hidden"] != names["deepfm"]["network.hidden"]
    # Trees may have fewer joint ids.
    assert names["dnn"][JOINT_IDS] != names["lightgbm"][JOINT_IDS]


def test_a_mutation_changes_few_places_and_numbers_by_little() -> None:
    rng, own = random.Random(0), own_candidate("dcnv2")
    table = SPACE.table("dcnv2")
    steps = []
    for _ in range(300):
        child = SPACE.mutate(own, rng)
        changed = [place for place in table if SPACE.value(child, place) != SPACE.value(own, place)]
        assert len(changed) == 1
        if changed == ["recipe.optimization.learning_rate"]:
            steps.append(child.learning_rate / own.learning_rate)
    assert steps
    assert all(1 / 12 < step < 12 for step in steps)


def test_joint_ids_are_taken_in_their_order_and_beside_those_that_a_user_asked_for() -> None:
    asked = replace(SPACE, inputs=replace(DEFAULT_INPUTS, crosses=("x:y",)))
    own = asked.kept(own_candidate("deepfm"))
    assert asked.with_values(own, {JOINT_IDS: 2}).inputs.crosses == ("x:y", "a:b", "c:d")
    assert asked.with_values(own, {JOINT_IDS: 0}).inputs.crosses == ("x:y",)
    assert SPACE.with_values(own_candidate("lr"), {JOINT_IDS: 3}).inputs.crosses == JOINT
    assert asked.value(asked.with_values(own, {JOINT_IDS: 2}), JOINT_IDS) == 2


def test_of_trees_their_own_choices_and_what_they_are_fed_is_chosen() -> None:
    places = set(SPACE.table("lightgbm"))
    assert {place for place in places if not place.startswith("network.")} == {
        "inputs.min_count",
        JOINT_IDS,
        DROPPED,
    }
    assert "network.num_leaves" in places
    assert SPACE.with_values(SPACE.own("lightgbm"), {JOINT_IDS: 1}).inputs.crosses == JOINT[1:2]
    assert SPACE.table("lightgbm")[JOINT_IDS] == Options((0, 1, 2))
    assert JOINT_IDS not in replace(SPACE, of_trees=()).table("lightgbm")
    assert JointSpace(("lightgbm",)).encode(own_candidate("lightgbm"))


def test_without_joint_ids_and_features_to_drop_nothing_of_them_is_chosen() -> None:
    table = JointSpace(("lr",)).table("lr")
    assert not {JOINT_IDS, CROSS_PENALTY, DROPPED} & set(table)


@pytest.mark.parametrize("kind", ["deepfm", "lightgbm", "nasrec-cross"])
def test_the_least_useful_features_are_dropped_beside_those_that_a_user_said(kind: str) -> None:
    assert SPACE.own(kind).inputs.dropped == ()
    asked = replace(SPACE, inputs=replace(DEFAULT_INPUTS, dropped=("x",)))
    own = asked.own(kind)
    assert (own.inputs.dropped, asked.value(own, DROPPED)) == (("x",), 0)
    for count in SPACE.table(kind)[DROPPED].values:
        found = asked.with_values(own, {DROPPED: count})
        assert found.inputs.dropped == (*LEAST[:count], "x")
        assert asked.value(found, DROPPED) == count
    assert SPACE.table(kind)[DROPPED].values == (0, 1, 2, 3)


def test_half_of_all_draws_drop_nothing_and_the_others_each_number_as_often() -> None:
    rng = random.Random(0)
    counts = Counter(SPACE.value(SPACE.draw(rng, "lr"), DROPPED) for _ in range(1200))
    assert 540 < counts[0] < 660
    assert all(150 < counts[count] < 250 for count in (1, 2, 3))


def test_what_a_user_has_said_stays_in_every_candidate() -> None:
    recipe = replace(DEFAULT_RECIPE, epochs=1, optimization=replace(DEFAULT_RECIPE.optimization, batch_size=256))
    inputs = Inputs(numbers=("columns",), min_count=3)
    space = JointSpace(("dnn", "gdcn"), recipe=recipe, inputs=inputs)
    assert space.fixed == {"recipe.epochs", "recipe.optimization.batch_size", "inputs.numbers"}
    rng = random.Random(1)
    for _ in range(50):
        found = space.mutate(space.draw(rng), rng, 3)
        assert (found.recipe.epochs, found.recipe.optimization.batch_size) == (1, 256)
        assert found.inputs.numbers == ("columns",)
    assert space.kept(own_candidate("gdcn")).recipe.epochs == 1


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(SPACE.kinds))
def test_what_a_user_has_said_of_what_is_not_chosen_stays_in_every_candidate_too(seed: int, kind: str) -> None:
    optimization = replace(DEFAULT_RECIPE.optimization, optimizer="adamw", cross_penalty=0.5)
    recipe = replace(DEFAULT_RECIPE, evaluations=1, patience=None, optimization=optimization)
    inputs = replace(DEFAULT_INPUTS, bins=99, crosses=("x:y",))
    space, rng = replace(SPACE, recipe=recipe, inputs=inputs), random.Random(seed)
    drawn = space.draw(rng, kind)
    for found in (space.kept(own_candidate("lr")), space.own(kind), drawn, space.mutate(drawn, rng, 3)):
        assert (found.inputs.bins, found.inputs.crosses[0]) == (99, "x:y")
        if found.recipe is not None:
            assert (found.recipe.evaluations, found.recipe.patience) == (1, None)
            assert (found.recipe.optimization.optimizer, found.recipe.optimization.cross_penalty) == ("adamw", 0.5)
    # What was not said is a family's own.
    assert space.kept(own_candidate("lr")).recipe.epochs == own_candidate("lr").recipe.epochs


def test_what_a_data_set_leaves_no_choice_of_is_as_the_space_has_it() -> None:
    space = replace(SPACE, no_choice=("inputs.numbers",))
    assert space.fixed == {"inputs.numbers"}
    other = replace(own_candidate("lr"), inputs=Inputs(numbers=("bins",)))
    assert space.kept(other).inputs.numbers == DEFAULT_INPUTS.numbers
    # Trees have a way of their own.
    assert space.kept(own_candidate("lightgbm")) == own_candidate("lightgbm")


@pytest.mark.parametrize("kind", SPACE.kinds)
def test_every_kind_begins_with_a_candidate_that_is_in_the_table_s_places(kind: str) -> None:
    own = SPACE.own(kind)
    assert own in SPACE
    assert SPACE.kind_of(own) == kind
    table = {place: item for place, item in SPACE.table(kind).items() if place != CROSS_PENALTY}
    assert all(SPACE.value(own, place) is not None or isinstance(item, Options) for place, item in table.items())


@pytest.mark.parametrize("seed", range(20))
def test_a_choice_that_was_found_out_moves_to_numbers_near_it(seed: int) -> None:
    space = JointSpace(("lightgbm",))
    found = space.with_values(space.own("lightgbm"), {"network.num_leaves": 31, "network.cat_smooth": 50})
    changed = space.mutate(found, random.Random(seed))
    choices = changed.network.all_choices
    assert choices["num_leaves"] in (15, 31, 63)
    assert choices["cat_smooth"] in (20, 50, 100)


@pytest.mark.parametrize("name", ["autoctr", "hierarchical"])
def test_networks_whose_choices_depend_on_each_other_are_drawn_changed_and_written_as_numbers(name: str) -> None:
    space, rng = JointSpace(("dnn",), SearchSpace.named(name)), random.Random(0)
    candidates = [space.own(name), *(space.draw(rng, name) for _ in range(20)), space.draw(rng, "dnn")]
    candidates += [space.mutate(candidate, rng) for candidate in candidates]
    assert all(candidate in space for candidate in candidates)
    assert len({len(space.encode(candidate)) for candidate in candidates}) == 1
    networks = {candidate.network.id: candidate for candidate in candidates if space.kind_of(candidate) == name}
    assert len({tuple(space.encode(replace(found, recipe=space.recipe))) for found in networks.values()}) > 20


@pytest.mark.parametrize("place", ["recipe.optimization.learning_rate", "recipe.dropout", DROPPED])
def test_options_are_what_is_drawn_and_as_likely_as_is_said(place: str) -> None:
    item, rng, count = SPACE.choices("dnn")[place], random.Random(0), 3000
    options = list(item.options())
    assert sum(item.likelihoods) == pytest.approx(1)
    assert len(item.likelihoods) == len(options) == len(set(options))
    if isinstance(item, Span):
        assert (options[0], options[-1]) == (item.least, item.most)
        assert options == sorted(options)
    else:
        drawn = Counter(item.draw(rng) for _ in range(count))
        for option, chance in zip(options, item.likelihoods, strict=True):
            # Five standard deviations.
            assert abs(drawn[option] / count - chance) < 5 * (chance * (1 - chance) / count) ** 0.5


def test_an_architecture_that_rules_derive_is_changed_as_a_whole() -> None:
    space, rng = JointSpace(("dnn",), SearchSpace.named("hierarchical")), random.Random(1)
    candidate = space.draw(rng, "hierarchical")
    whole = [found for found in space.neighbours(candidate) if found.network != candidate.network]
    assert whole
    assert all(found in space and found.recipe == candidate.recipe for found in whole)
    where, written = space.encoded("hierarchical", WHOLE, candidate.network)
    assert space.encode(candidate)[where] == written
    with pytest.raises(InputError, match="has rules in the place of choices"):
        space.decisions()
