"""Architectures whose logit reads whatever no block reads: what there is of them, and which are the same."""

import itertools
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.space import Architecture, Block, SearchSpace, cost
from recnas.space.architecture import UNREAD
from recnas.util.errors import InputError

SEEDS = st.integers(0, 2**32)


def mlp(*dense: int, fields: bool = False, width: int = 32) -> Block:
    return Block(("mlp",), (), width, 0, dense, (0,) if fields else ())


def graph(*blocks: Block) -> Architecture:
    return Architecture(blocks, logit=UNREAD)


def drawn(seed: int) -> Architecture:
    return SearchSpace.named("autoctr").sample(random.Random(seed))


def reordered(arch: Architecture, rng: random.Random) -> Architecture:
    """The same blocks in another order in which each still stands after what it reads."""
    left, order = list(range(1, len(arch.blocks) + 1)), [0]
    while left:
        ready = [node for node in left if set(arch.blocks[node - 1].dense_inputs) <= set(order)]
        order.append(rng.choice(ready))
        left.remove(order[-1])
    blocks = [
        replace(block, dense_inputs=tuple(sorted(order.index(source) for source in block.dense_inputs)))
        for block in (arch.blocks[node - 1] for node in order[1:])
    ]
    return graph(*blocks)


def test_the_logit_reads_what_no_block_reads() -> None:
    assert graph(mlp(0), mlp(1)).logit_inputs() == ((2,), (0,))
    assert graph(mlp(0), mlp(0, fields=True)).logit_inputs() == ((1, 2), ())
    assert graph(mlp(fields=True)).logit_inputs() == ((0, 1), ())


def test_a_block_that_reads_nothing_is_not_there_nor_is_what_would_read_it() -> None:
    arch = graph(mlp(), mlp(1), mlp(0, 2))
    assert arch.canonical().blocks == (mlp(0), replace(mlp(), dense_operators=(), dense_width=0), Block((), (), 0, 0))
    assert arch.logit_inputs() == ((3,), (0,))
    assert arch.id == graph(mlp(0), mlp(), mlp()).id
    assert [live.dense_operators for live in arch.live()] == [False, False, True]


def test_where_nothing_is_read_the_features_go_to_the_logit() -> None:
    arch = graph(mlp(), mlp())
    assert arch.logit_inputs() == ((0,), (0,))
    assert cost.parameters(arch, 3, 5, 16) == 3 + 5 * 16 + 1


def test_a_width_that_follows_from_inputs_is_no_choice() -> None:
    first, second = (graph(Block(("fm",), (), width, 0, (0,), (0,))) for width in (32, 64))
    assert first.id == second.id
    assert cost.output_widths(first, 3, 5) == ([3, 1], [5, 0])
    products = graph(Block(("inner-products",), (), 32, 0, (0,), (0,)))
    assert cost.output_widths(products, 3, 5)[0][1] == 6 * 7 // 2
    assert graph(mlp(0, width=32)).id != graph(mlp(0, width=64)).id


@given(SEEDS)
def test_the_order_of_blocks_means_nothing(seed: int) -> None:
    arch = drawn(seed)
    assert reordered(arch, random.Random(seed)).canonical() == arch.canonical()


@given(SEEDS)
def test_the_canonical_form_is_one_of_its_own_and_in_the_space(seed: int) -> None:
    arch = drawn(seed).canonical()
    assert arch.canonical() == arch
    assert Architecture.from_json(arch.to_json()) == arch
    assert cost.macs(arch, 3, 8, 16) == cost.macs(drawn(seed), 3, 8, 16)


def test_two_graphs_have_one_canonical_form_exactly_if_one_is_the_other_with_blocks_renamed() -> None:
    """All graphs of four alike layers, against trying every renaming."""
    subsets = [[chosen for size in range(n) for chosen in itertools.combinations(range(n), size)] for n in range(1, 5)]
    graphs = [graph(*(mlp(*read, fields=True) for read in reads)) for reads in itertools.product(*subsets)]
    names = {}
    for arch in graphs:
        edges = {(source, node) for node, block in enumerate(arch.blocks, 1) for source in block.dense_inputs}
        smallest = min(
            tuple(sorted((places[source], places[node]) for source, node in edges))
            for order in itertools.permutations(range(1, 5))
            for places in [dict(zip(range(5), (0, *order), strict=True))]
        )
        names.setdefault(smallest, set()).add(arch.id)
    assert all(len(ids) == 1 for ids in names.values())
    assert len(set.union(*names.values())) == len(names) > 50


def test_many_alike_towers_have_one_order_that_takes_no_time_to_find() -> None:
    """Trying each of eight towers as each would be 40,320 orders."""
    towers = graph(*[mlp(0, fields=True)] * 8, *(mlp(source) for source in range(1, 9)))
    started = time.process_time()
    assert {reordered(towers, random.Random(seed)).id for seed in range(10)} == {towers.id}
    assert time.process_time() - started < 5


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="logit is 'all'; last or unread is expected"):
        replace(graph(mlp(0)), logit="all")
    with pytest.raises(InputError, match="block 1 gives mlp nothing to read"):
        Architecture((mlp(),))
    with pytest.raises(InputError, match="autoctr has no full path"):
        SearchSpace.named("autoctr").full_path()


def test_draws_read_each_input_every_second_time() -> None:
    rng, draws = random.Random(0), 3000
    archs = [SearchSpace.named("autoctr").sample(rng) for _ in range(draws)]
    for index in range(7):
        for source in range(index + 1):
            share = sum(source in arch.blocks[index].dense_inputs for arch in archs) / draws
            assert abs(share - 0.5) <= 5 * (0.25 / draws) ** 0.5
        assert (
            abs(sum(bool(arch.blocks[index].sparse_inputs) for arch in archs) / draws - 0.5)
            <= 5 * (0.25 / draws) ** 0.5
        )
