"""Search spaces: what they hold, how they draw and change it, and how much there is."""

import itertools
import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from math import comb, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.space import SPACES, Architecture, Block, SearchSpace, cost
from recnas.space.choices import NOTHING, BlockChoices, Choice, OneOf, OneOperator, Subset
from recnas.space.search_space import value_at
from recnas.util.errors import InputError
from tests.spaces import NASREC, TABLES

SEEDS = st.integers(0, 2**32)
NAMES = st.sampled_from(sorted(TABLES))


def test_an_unknown_space_is_refused_with_the_known_ones() -> None:
    known = "nasrec-small, nasrec-full, nasrec-cross"
    with pytest.raises(InputError, match=f"no search space is named 'nasrec'; known are {known}"):
        SearchSpace.named("nasrec")


@given(NAMES, SEEDS)
def test_samples_lie_in_their_space(name: str, seed: int) -> None:
    space = SearchSpace.named(name)
    arch = space.sample(random.Random(seed))
    assert arch in space
    assert len(arch.blocks) == 7


@given(NAMES, SEEDS, st.integers(1, 40))
def test_mutations_lie_in_their_space(name: str, seed: int, count: int) -> None:
    space, rng = SearchSpace.named(name), random.Random(seed)
    assert space.mutate(space.sample(rng), rng, count) in space


@given(NAMES, SEEDS)
def test_one_mutation_changes_at_most_one_choice_of_one_block(name: str, seed: int) -> None:
    space, rng = SearchSpace.named(name), random.Random(seed)
    arch = space.sample(rng)
    changed = space.mutate(arch, rng)
    differences = [
        (index, key)
        for index, (before, after) in enumerate(zip(arch.blocks, changed.blocks, strict=True))
        for key in before.to_json()
        if getattr(before, key) != getattr(after, key)
    ]
    assert len(differences) + (arch.branches != changed.branches) <= 1


@given(NAMES, SEEDS)
def test_a_seed_decides_samples_and_mutations(name: str, seed: int) -> None:
    def draw() -> list[Architecture]:
        space, rng = SearchSpace.named(name), random.Random(seed)
        first = space.sample(rng)
        return [first, space.sample(rng), space.mutate(first, rng, 5)]

    assert draw() == draw()


@pytest.mark.parametrize("name", NASREC)
def test_every_choice_of_every_block_can_be_reached_by_mutation(name: str) -> None:
    space, rng = SearchSpace.named(name), random.Random(0)
    arch = space.sample(rng)
    seen: dict[tuple[int, str], set] = {}
    depths: dict[str, set[int]] = {}
    for _ in range(6_000):
        arch = space.mutate(arch, rng)
        for branch in space.branches:
            depths.setdefault(branch, set()).add(dict(arch.branches).get(branch, 0))
        for index, block in enumerate(arch.blocks):
            for key in ("dense_operators", "sparse_operators", "dense_width", "sparse_width", "left", "right", "fm"):
                seen.setdefault((index, key), set()).add(getattr(block, key))
    for index, choices in enumerate(space.blocks):
        assert seen[index, "dense_operators"] == {(operator,) for operator in choices.dense_operators.names}
        assert seen[index, "sparse_operators"] == {(operator,) for operator in choices.sparse_operators.names}
        assert seen[index, "dense_width"] == set(choices.dense_width.values)
        assert seen[index, "sparse_width"] == set(choices.sparse_width.values)
        assert seen[index, "left"] == set(choices.left.values)
        assert seen[index, "right"] == set(choices.right.values)
        assert seen[index, "fm"] == {False, True}
    assert depths == {branch: set(depth.values) for branch, depth in space.branches.items()}


@pytest.mark.parametrize("name", NASREC)
def test_an_architecture_of_another_shape_is_not_in_the_space(name: str) -> None:
    space = SearchSpace.named(name)
    arch = space.sample(random.Random(0))
    last = arch.blocks[-1]
    assert Architecture(arch.blocks[:-1]) not in space
    assert "arch" not in space
    for change in (
        {"dense_width": 24},
        {"sparse_width": 8},
        {"dense_inputs": (0, 1, 2, 3, 4)},
        {"dense_operators": ("dot-product", "fc")},
    ):
        assert Architecture((*arch.blocks[:-1], replace(last, **change)), arch.branches) not in space
    assert replace(arch, branches=(("cross", 7),)) not in space
    assert (SearchSpace.named("nasrec-full").sample(random.Random(0)) in space) == (
        name in ("nasrec-full", "nasrec-wide")
    )


@pytest.mark.parametrize("name", NASREC)
def test_the_number_of_inputs_is_one_plus_a_binomial(name: str) -> None:
    space, rng, draws = SearchSpace.named(name), random.Random(1), 4000
    samples = [space.sample(rng) for _ in range(draws)]
    for index in range(1, 8):
        most = min(index, 4)
        for kind in ("dense_inputs", "sparse_inputs"):
            counts = Counter(len(getattr(arch.blocks[index - 1], kind)) for arch in samples)
            for count in range(1, most + 1):
                expected = comb(most - 1, count - 1) / 2 ** (most - 1)
                # Five standard deviations of a share of so many draws.
                assert abs(counts[count] / draws - expected) <= 5 * (expected * (1 - expected) / draws) ** 0.5
            assert set(counts) <= set(range(1, most + 1))


def test_all_other_choices_are_uniform() -> None:
    space, rng, draws = SearchSpace.named("nasrec-full"), random.Random(2), 4000
    samples = [space.sample(rng).blocks[6] for _ in range(draws)]
    choices = space.blocks[6]
    for key, options in (
        ("dense_operators", [(name,) for name in choices.dense_operators.names]),
        ("sparse_operators", [(name,) for name in choices.sparse_operators.names]),
        ("dense_width", choices.dense_width.values),
        ("sparse_width", choices.sparse_width.values),
        ("left", range(7)),
        ("right", range(7)),
        ("dense_to_sparse", (False, True)),
        ("fm", (False, True)),
    ):
        counts, share = Counter(getattr(block, key) for block in samples), 1 / len(options)
        for option in options:
            assert abs(counts[option] / draws - share) <= 5 * (share * (1 - share) / draws) ** 0.5, (key, option)
    inputs = Counter(source for block in samples for source in block.dense_inputs)
    assert max(inputs.values()) < 1.15 * min(inputs.values())


def test_the_depth_of_the_cross_network_is_uniform_and_draws_nothing_where_there_is_no_choice() -> None:
    space, rng = SearchSpace.named("nasrec-cross"), random.Random(3)
    counts = Counter(dict(space.sample(rng).branches)["cross"] for _ in range(3000))
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert all(abs(count / 3000 - 1 / 6) <= 5 * (5 / 36 / 3000) ** 0.5 for count in counts.values())
    # The same blocks come out of the same generator.
    crossed, plain = (SearchSpace.named(name).sample(random.Random(5)) for name in ("nasrec-cross", "nasrec-small"))
    assert crossed.blocks == plain.blocks
    assert plain.branches == ()


def test_most_candidates_of_the_wide_space_have_two_branches_at_most_and_each_may_have_every_depth() -> None:
    space, rng = SearchSpace.named("nasrec-wide"), random.Random(4)
    drawn = [dict(space.sample(rng).branches) for _ in range(3000)]
    assert sum(len(branches) <= 2 for branches in drawn) > 0.87 * len(drawn)
    for name, choice in space.branches.items():
        counts = Counter(branches.get(name, 0) for branches in drawn)
        assert set(counts) == set(choice.values)
        assert abs(counts[0] / len(drawn) - 0.8) <= 5 * (0.16 / len(drawn)) ** 0.5
        assert max(counts[depth] for depth in choice.values[1:]) < 1.6 * min(
            counts[depth] for depth in choice.values[1:]
        )


def _tiny(operands: bool) -> SearchSpace:
    first = BlockChoices(
        dense_operators=OneOperator(("fc", "gating") if operands else ("fc",)),
        sparse_operators=OneOperator(("efc",)),
        dense_width=OneOf((16,)),
        sparse_width=OneOf((16, 32)),
        dense_inputs=Subset((0,), range(1, 2)),
        sparse_inputs=Subset((0,), range(1, 2)),
        left=OneOf((0,)) if operands else NOTHING,
        right=OneOf((0,)) if operands else NOTHING,
        dense_to_sparse=OneOf((False, True)),
        fm=OneOf((False,)),
    )
    second = replace(
        first,
        dense_width=OneOf((16, 32)),
        dense_inputs=Subset((0, 1), range(1, 3)),
        left=OneOf((0, 1)) if operands else NOTHING,
        right=OneOf((1,)) if operands else NOTHING,
    )
    return SearchSpace("tiny", (first, second))


def _everything(width: int) -> set[Block]:
    """Every block of one operator each that reads outputs 0 and 1, well beyond what the tiny spaces allow."""
    inputs = [(), (0,), (1,), (0, 1)]
    return {
        Block((dense,), (sparse,), dense_width, sparse_width, dense_inputs, sparse_inputs, left, right, merger, fm)
        for dense, sparse, dense_width, sparse_width, dense_inputs, sparse_inputs, left, right, merger, fm in (
            itertools.product(
                ("fc", "gating", "sum"),
                ("efc", "attention"),
                (16, 32),
                (16, width),
                inputs,
                [(0,), (1,)],
                (None, 0, 1),
                (None, 0, 1),
                (False, True),
                (False, True),
            )
        )
    }


@pytest.mark.parametrize("operands", [False, True])
def test_the_size_is_the_number_of_architectures_in_the_space(operands: bool) -> None:
    space, everything = _tiny(operands), _everything(32)
    firsts, seconds = ([block for block in everything if _holds(choices, block)] for choices in space.blocks)
    assert all(Architecture(pair) in space for pair in itertools.product(firsts, seconds))
    assert space.size() == len(firsts) * len(seconds)
    rng = random.Random(0)
    drawn = {space.sample(rng) for _ in range(20 * space.size())}
    assert drawn == {Architecture(pair) for pair in itertools.product(firsts, seconds)}


def _holds(choices: BlockChoices, block: Block) -> bool:
    """Written out anew, so that `in` is not its own judge."""
    return (
        block.dense_operators[0] in choices.dense_operators.names
        and block.sparse_operators[0] in choices.sparse_operators.names
        and block.dense_width in choices.dense_width.values
        and block.sparse_width in choices.sparse_width.values
        and len(block.dense_inputs) in choices.dense_inputs.counts
        and len(block.sparse_inputs) in choices.sparse_inputs.counts
        and all(source in choices.dense_inputs.pool for source in block.dense_inputs)
        and all(source in choices.sparse_inputs.pool for source in block.sparse_inputs)
        and block.left in choices.left.values
        and block.right in choices.right.values
        and block.dense_to_sparse in choices.dense_to_sparse.values
        and block.fm in choices.fm.values
    )


@pytest.mark.parametrize(("name", "operators"), [("nasrec-small", 2), ("nasrec-full", 8)])
def test_the_size_of_the_published_spaces_is_the_product_of_their_choices(name: str, operators: int) -> None:
    def inputs(index: int) -> int:
        return sum(comb(index, count) for count in range(1, min(index, 4) + 1))

    operands = [index**2 if name == "nasrec-full" else 1 for index in range(1, 8)]
    expected = prod(operators * 8 * 4 * 2 * 2 * inputs(index) ** 2 * operands[index - 1] for index in range(1, 8))
    assert SearchSpace.named(name).size() == expected


@given(NAMES, SEEDS)
def test_the_space_of_one_architecture_holds_it_and_draws_it(name: str, seed: int) -> None:
    arch = SearchSpace.named(name).sample(random.Random(seed))
    for form in (arch, arch.canonical()):
        space = SearchSpace.only(form)
        assert space.size() == 1
        assert form in space
        assert space.sample(random.Random(0)) == form


@pytest.mark.parametrize("name", NASREC)
def test_the_full_path_turns_every_operator_on_at_its_largest(name: str) -> None:
    path = SearchSpace.named(name).full_path()
    full = ("fc", "dot-product", "gating", "sum")
    sparse = ("efc", "attention")
    operators = {"nasrec-full": (full, sparse), "nasrec-wide": ((*full, "factorized", "mask"), sparse)}
    crosses = {"cross": 6, "cross-lowrank": 6, "cross-mixture": 6, "gated-cross": 6}
    branches = {"nasrec-cross": {"cross": 6}, "nasrec-wide": crosses | {"exponential-cross": 4, "quadratic": 4}}
    assert dict(path.branches) == branches.get(name, {})
    for index, block in enumerate(path.blocks, start=1):
        expected = operators.get(name, (("fc", "dot-product"), ("efc",)))
        assert (block.dense_operators, block.sparse_operators) == expected
        assert (block.dense_width, block.sparse_width) == (1024, 64)
        assert block.dense_inputs == block.sparse_inputs == tuple(range(index))
        assert block.dense_to_sparse
        assert block.fm


def test_spaces_and_costs_need_no_torch() -> None:
    program = (
        "import random, sys\n"
        "from recnas.space import SearchSpace, cost\n"
        "arch = SearchSpace.named('nasrec-full').sample(random.Random(0))\n"
        "cost.parameters(arch, 13, 26, 16), cost.macs(arch, 13, 26, 16), arch.id\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("room", [1.0, 1.05, 3.0, 1e3, math.inf])
def test_samples_within_limits_can_be_afforded_however_tight_they_are(name: str, room: float) -> None:
    space, rng = SearchSpace.named(name), random.Random(7)

    def macs(arch: Architecture) -> int:
        return cost.macs(arch, 3, 8, 16)

    smallest = space.smallest(macs)
    limit = macs(smallest) * room
    drawn = [space.sample_within(rng, lambda arch: macs(arch) <= limit, smallest) for _ in range(5)]
    assert all(arch in space and macs(arch) <= limit for arch in drawn)
    if room == math.inf:
        free = random.Random(7)
        assert drawn == [space.sample(free) for _ in range(5)]
    if room >= 3:
        assert len(set(drawn)) == 5


@given(NAMES, SEEDS)
def test_neighbours_are_the_architectures_of_the_space_that_differ_in_one_choice(name: str, seed: int) -> None:
    space = SearchSpace.named(name)
    arch = space.sample(random.Random(seed))
    neighbours = list(space.neighbours(arch))
    assert len(set(neighbours)) == len(neighbours) == sum(choice.size - 1 for choice in space.table().values())
    chosen = {place: value_at(arch, place) for place in space.table()}
    for near in random.Random(seed).sample(neighbours, 20):
        assert near in space
        assert sum(value_at(near, place) != value for place, value in chosen.items()) == 1


@given(NAMES, SEEDS)
def test_an_encoding_has_as_many_numbers_for_each_and_tells_architectures_apart(name: str, seed: int) -> None:
    space, rng = SearchSpace.named(name), random.Random(seed)
    first, second = space.sample(rng), space.sample(rng)
    codes = [space.encode(arch) for arch in (first, second)]
    assert len(codes[0]) == len(codes[1])
    assert all(0 <= number <= 1 for code in codes for number in code)
    assert (codes[0] == codes[1]) == (first == second)
    for near in rng.sample(list(space.neighbours(first)), 20):
        assert space.encode(near) != codes[0]


def test_where_nothing_can_be_chosen_a_mutation_changes_nothing() -> None:
    arch = SearchSpace.named("nasrec-small").sample(random.Random(0))
    assert SearchSpace.only(arch).mutate(arch, random.Random(1), 5) == arch


@pytest.mark.parametrize(
    "choice",
    [Subset((0, 1, 2, 3, 4), range(1, 5)), OneOf((0, 1, 2), share=0.8), OneOf((16, 32)), OneOperator(("a", "b"))],
)
def test_options_are_drawn_as_often_as_their_likelihoods_say(choice: Choice) -> None:
    rng, count = random.Random(0), 4000
    drawn = Counter(choice.draw(rng) for _ in range(count))
    assert sum(choice.likelihoods) == pytest.approx(1)
    for option, chance in zip(choice.options(), choice.likelihoods, strict=True):
        # Five standard deviations.
        assert abs(drawn[option] / count - chance) < 5 * (chance * (1 - chance) / count) ** 0.5
