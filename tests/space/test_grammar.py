"""Grammars: how rules are read, which networks they derive, and how a space of them draws and changes these."""

import itertools
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.space import Architecture, Block, SearchSpace
from recnas.space.architecture import UNREAD
from recnas.space.grammar import Grammar, Tree
from recnas.space.grammar_space import NO_BLOCK, GrammarSpace
from recnas.util.errors import InputError

SEEDS = st.integers(0, 2**32)
SMALL = """
NET   -> STAGE | sequence(STAGE, NET) | parallel(STAGE, NET)    # one after the other, or side by side
STAGE -> fc(16) | residual(fc(32)) | repeat(2, LAYER) | sequence(efc(16), fm)
LAYER -> fc(64) | dot-product(16)
"""


def space() -> GrammarSpace:
    return GrammarSpace.of("small", SMALL, blocks=5)


def only(network: str) -> Architecture:
    """The one network of a grammar of one rule."""
    return GrammarSpace.of("only", f"NET -> {network}", blocks=6).first()


def dense(width: int, *read: int) -> Block:
    return Block(("fc",), (), width, 0, read)


def test_functions_say_what_reads_what() -> None:
    chain = only("sequence(fc(16), fc(32))")
    assert chain.blocks == (dense(16, 0), dense(32, 1), *[NO_BLOCK] * 4)
    assert chain.logit_inputs() == ((2,), (0,))
    beside = only("sequence(parallel(fc(16), fc(32)), fc(64))")
    assert beside.blocks[:3] == (dense(16, 0), dense(32, 0), dense(64, 1, 2))
    skipped = only("sequence(residual(fc(16)), fc(64))")
    assert skipped.blocks[:2] == (dense(16, 0), dense(64, 0, 1))
    again = only("repeat(3, residual(fc(16)))")
    assert again.blocks[:3] == (dense(16, 0), dense(16, 0, 1), dense(16, 0, 1, 2))
    both = only("sequence(efc(16), dot-product(32))")
    assert both.blocks[:2] == (Block((), ("efc",), 0, 16, (), (0,)), Block(("dot-product",), (), 32, 0, (0,), (1,)))
    assert both.logit_inputs() == ((2,), ())
    gate = only("sequence(parallel(fc(16), fc(32)), gating(64))")
    assert (gate.blocks[2].left, gate.blocks[2].right) == (1, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("parallel(fc(16), fc(32))", "parallel(fc(32), fc(16))"),
        ("parallel(fc(16), parallel(fc(32), efc(16)))", "parallel(efc(16), fc(16), fc(32))"),
        ("sequence(fc(16), sequence(fc(32), fm))", "sequence(sequence(fc(16), fc(32)), fm)"),
        ("residual(residual(fc(16)))", "residual(fc(16))"),
        ("repeat(2, fc(16))", "sequence(fc(16), fc(16))"),
        ("sequence(efc(16), fc(16))", "sequence(fc(16), efc(16))"),
        ("parallel(sequence(fc(16), fc(32)), sequence(fc(64), fm))", "parallel(sequence(fc(64), fm), repeat(1, x))"),
    ],
)
def test_sentences_of_the_same_network_are_the_same_candidate(first: str, second: str) -> None:
    second = second.replace("repeat(1, x)", "sequence(fc(16), fc(32))")
    assert only(first).id == only(second).id
    assert only(first).canonical() == only(second).canonical()


def test_networks_that_differ_are_different_candidates() -> None:
    networks = ["fc(16)", "fc(32)", "repeat(2, fc(16))", "parallel(fc(16), fc(16))", "repeat(2, residual(fc(16)))"]
    assert len({only(network).id for network in networks}) == len(networks)
    # The logit reads what no block does, so that nothing is left to skip to at the end.
    assert only("residual(fc(16))").id == only("fc(16)").id


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("", "no rule is given"),
        ("NET -> fc(16) | relu(16)", "in rule NET 'relu' is neither a rule nor one of sequence, parallel, "),
        ("NET -> fc", r"fc is an operator, whose argument is its width, as in fc\(64\)"),
        ("NET -> fm(1)", "fm is an operator, whose argument is no argument"),
        ("NET -> fc(0)", "fc has the width 0"),
        ("NET -> parallel(fc(16))", "parallel is given other arguments than two or more networks"),
        ("NET -> repeat(1, fc(16))", "repeat is given other arguments than a number from 2 on, and a network"),
        ("NET -> residual(fc(16), fc(16))", "residual is given other arguments than one network"),
        ("NET -> A(16)\nA -> fc(16)", "A is the name of a rule and has no arguments"),
        ("NET -> sequence(NET, fc(16))", "rule NET never ends"),
        ("NET -> residual(A) | fc(16)\nA -> NET", "rule NET can become itself without an operator more"),
        ("fc -> fm", "the rule fc has the name of an operator or a function"),
        ("NET -> fc(16)\nNET -> fm", "rule NET is there twice"),
        ("NET -> fc(16", "it ends in the middle of a rule"),
        ("NET -> fc(16) fm", "'fm' stands where|it ends in the middle"),
        ("NET => fc(16)", "line 1: '=> fc"),
        ("NET -> 16", "'16' stands where a name is expected"),
        ("NET -> repeat(9, fc(16))", "its smallest network has 9 blocks, where 5 are the most"),
    ],
)
def test_what_is_no_grammar_is_refused_in_one_line(rules: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        GrammarSpace.of("wrong", rules, blocks=5)
    assert "\n" not in str(refused.value)


@given(st.sampled_from(["small", "hierarchical"]), SEEDS, st.integers(1, 5))
def test_draws_and_changes_lie_in_the_space(name: str, seed: int, count: int) -> None:
    own, rng = space() if name == "small" else SearchSpace.named(name), random.Random(seed)
    first, second = own.sample(rng), own.sample(rng)
    changed = [own.mutate(first, rng, count), own.crossover(first, second, rng), own.first(), *own.neighbours(first)]
    for arch in (first, second, *changed):
        assert arch in own
        assert sum(block != NO_BLOCK for block in arch.blocks) <= len(own.blocks)
        # As it comes back from a run's history.
        assert Architecture.from_json(json.loads(json.dumps(arch.to_json()))) in own
    again = random.Random(seed)
    assert [own.sample(again), own.sample(again), own.mutate(first, again, count)] == [first, second, changed[0]]


@given(SEEDS)
def test_the_canonical_form_has_no_derivation_and_is_its_own(seed: int) -> None:
    arch = space().sample(random.Random(seed))
    form = arch.canonical()
    assert form.derivation == ()
    assert form.canonical() == form
    assert form.id == arch.id
    assert form not in space()


def parts(tree: Tree) -> list[tuple[tuple[int, ...], Tree]]:
    return [((), tree)] + [
        ((place, *path), part) for place, child in enumerate(tree.children) for path, part in parts(child)
    ]


def exchanged(tree: Tree, path: tuple[int, ...], part: Tree) -> Tree:
    if not path:
        return part
    children = list(tree.children)
    children[path[0]] = exchanged(children[path[0]], path[1:], part)
    return replace(tree, children=tuple(children))


@given(SEEDS)
def test_a_mutation_grows_one_part_anew_from_the_same_rule(seed: int) -> None:
    own, rng = space(), random.Random(seed)
    before = own.tree(own.sample(rng))
    after = own.tree(own.mutate(own.made(before), rng))
    assert any(
        exchanged(before, path, dict(parts(after))[path]) == after
        for path, part in parts(before)
        if path in dict(parts(after)) and dict(parts(after))[path].rule == part.rule
    )


@given(SEEDS)
def test_a_crossover_has_one_part_of_the_second_in_the_place_of_one_of_the_same_rule(seed: int) -> None:
    own, rng = space(), random.Random(seed)
    first, second = (own.tree(own.sample(rng)) for _ in range(2))
    child = own.tree(own.crossover(own.made(first), own.made(second), rng))
    pairs = itertools.product(parts(first), parts(second))
    assert child == first or any(
        exchanged(first, path, given) == child for (path, part), (_, given) in pairs if part.rule == given.rule
    )


def test_the_size_is_the_number_of_derivations_and_each_of_them_is_drawn() -> None:
    own = GrammarSpace.of("tiny", "NET -> LAYER | sequence(LAYER, NET)\nLAYER -> fc(16) | repeat(2, X)\nX -> fm", 3)

    def derive(rule: str, depth: int) -> list[Tree]:
        found = []
        for choice, term in enumerate(own.grammar.rules[rule] if depth else ()):
            options = [derive(name, depth - 1) for name, _ in own.grammar.names(term)]
            found += [Tree(rule, choice, children) for children in itertools.product(*options)]
        return found

    fitting = [tree for tree in derive("NET", 6) if own.grammar.count(tree) <= 3]
    rng = random.Random(0)
    assert own.size() == len(fitting) == 6
    assert {own.sample(rng) for _ in range(300)} == {own.made(tree) for tree in fitting}


@given(SEEDS)
def test_an_encoding_has_one_width_and_tells_networks_apart(seed: int) -> None:
    own, rng = space(), random.Random(seed)
    first, second = own.sample(rng), own.sample(rng)
    codes = [own.encode(arch) for arch in (first, second)]
    assert len(codes[0]) == len(codes[1])
    assert all(0 <= number <= 1 for code in codes for number in code)
    assert (codes[0] == codes[1]) == (first.id == second.id)


def test_what_is_no_derivation_is_no_network_of_the_space() -> None:
    own = space()
    arch = own.sample(random.Random(0))
    for derivation in ((), (9,), (0,), (*arch.derivation, 0), (1, 0) * 4000, (-1,)):
        assert replace(arch, derivation=derivation) not in own
    assert replace(arch, blocks=arch.blocks[:-1]) not in own
    assert SearchSpace.named("autoctr").sample(random.Random(0)) not in own
    with pytest.raises(ValueError, match="is no network of small"):
        own.mutate(arch.canonical(), random.Random(0))
    with pytest.raises(InputError, match="derivation is 3"):
        Architecture.from_json(arch.to_json() | {"derivation": 3})


def test_a_space_of_a_grammar_has_no_table() -> None:
    with pytest.raises(InputError, match="a grammar has rules and no table of choices"):
        space().table()


def test_rules_may_name_every_operator_that_is_known() -> None:
    grammar = Grammar.parse("NET -> attention(16) | sum(16) | mask(32) | inner-products | mlp(64)")
    networks = [GrammarSpace("one", (), logit=UNREAD, grammar=grammar).grammar.blocks(Tree("NET", n)) for n in range(5)]
    assert [block.operators for (block,) in networks] == [
        ("attention",), ("sum",), ("mask",), ("inner-products",), ("mlp",),
    ]  # fmt: skip
