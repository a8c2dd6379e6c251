"""Architectures as values: what is valid, how it is written and read, and what of it is alive."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.space import Architecture, Block, Live, SearchSpace
from recnas.util.errors import InputError
from tests.spaces import NASREC

BLOCK = Block(("fc",), ("efc",), dense_width=32, sparse_width=16, dense_inputs=(0,), sparse_inputs=(0,))
SECOND = replace(BLOCK, dense_inputs=(0, 1), sparse_inputs=(1,))


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    space = SearchSpace.named(draw(st.sampled_from(sorted(NASREC))))
    return space.sample(random.Random(draw(st.integers(0, 2**32))))


def block(dense: str | None = "fc", sparse: str | None = "efc", **changes: object) -> Block:
    """A block of at most one operator of each kind that reads only the stem unless told otherwise."""
    changes = {"left": 0, "right": 0} | changes if dense in ("gating", "sum") else changes
    return replace(
        BLOCK,
        dense_operators=(dense,) if dense else (),
        sparse_operators=(sparse,) if sparse else (),
        dense_width=32 if dense else 0,
        sparse_width=16 if sparse else 0,
        **changes,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense_operators": ("relu",)}, "block 2 has the operator 'relu'; known are dot-product, factorized, fc, "),
        ({"sparse_operators": ("fc",)}, "block 2 has the operator 'fc'; known are attention, efc"),
        ({"dense_operators": ("fc", "fc")}, "block 2 has an operator twice"),
        ({"dense_width": 0}, r"block 2 has dense_width 0 with dense operators \['fc'\]"),
        ({"dense_width": -1}, "block 2 has dense_width -1"),
        ({"sparse_operators": ()}, r"block 2 has sparse_width 16 with sparse operators \[\]"),
        ({"dense_inputs": (1, 0)}, r"block 2 has dense_inputs \[1, 0\]; distinct inputs in ascending order"),
        ({"dense_inputs": (1, 1)}, "distinct inputs"),
        ({"dense_inputs": (0, 2)}, "it can read outputs 0 to 1"),
        ({"sparse_inputs": (-1,)}, "it can read outputs 0 to 1"),
        ({"dense_inputs": ()}, "reads dense_inputs, but none are given"),
        ({"sparse_inputs": ()}, "reads sparse_inputs, but none are given"),
        ({"dense_operators": ("gating",), "right": 0}, "reads left, but none is given"),
        ({"dense_operators": ("sum",), "left": 0}, "reads right, but none is given"),
        ({"left": 2}, "block 2 has left 2; it can read outputs 0 to 1"),
        ({"right": -1}, "block 2 has right -1"),
    ],
)
def test_an_invalid_block_is_refused_by_its_number(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Architecture((BLOCK, replace(SECOND, **changes)))


def test_an_architecture_has_a_block_and_its_last_block_an_operator() -> None:
    with pytest.raises(InputError, match="no blocks"):
        Architecture(())
    with pytest.raises(InputError, match="nothing reaches the logit"):
        Architecture((BLOCK, Block((), (), 0, 0)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (block(dense=None), block(dense_inputs=(1,))),
        (block(sparse=None), block(sparse_inputs=(1,))),
        (block(dense=None, sparse="efc", dense_to_sparse=True), block(sparse_inputs=(1,))),
        (block(dense=None), block(dense="sum", right=1)),
    ],
)
def test_an_output_that_is_read_has_an_operator(first: Block, second: Block) -> None:
    with pytest.raises(InputError, match="block 1 has no operator for an output that is read"):
        Architecture((first, second))


@given(architectures())
def test_what_is_written_is_read_back(arch: Architecture) -> None:
    for form in (arch, arch.canonical()):
        assert Architecture.from_json(json.loads(json.dumps(form.to_json()))) == form


def test_a_saved_architecture_is_loaded_and_a_bad_file_is_named(tmp_path: Path, sample) -> None:
    path = tmp_path / "architecture.json"
    with pytest.raises(InputError, match=r"architecture\.json: no such file"):
        Architecture.load(path)
    (arch,) = sample("nasrec-full", 1)
    arch.save(path)
    assert Architecture.load(path) == arch
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"architecture\.json: not JSON"):
        Architecture.load(path)
    path.write_text('{"version": 1, "blocks": [{}]}')
    with pytest.raises(InputError, match=r"architecture\.json: architecture: a block has no 'dense_operators'"):
        Architecture.load(path)


def _with_block(**changes: object) -> dict:
    return {"version": 1, "blocks": [BLOCK.to_json() | changes]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "an object with 'version' and 'blocks' is expected"),
        ({"version": 1}, "an object with 'version' and 'blocks' is expected"),
        ({"version": 2, "blocks": []}, "version 2 where 1 is expected"),
        ({"version": 1, "blocks": []}, "no blocks"),
        ({"version": 1, "blocks": ["fc"]}, "a block is an object, not str"),
        (_with_block(depth=3), "unknown key 'depth' in a block"),
        (_with_block(dense_width="32"), "dense_width is '32' where an integer is expected"),
        (_with_block(dense_width=True), "dense_width is True where an integer is expected"),
        (_with_block(fm=1), "fm is 1 where true or false is expected"),
        (_with_block(left=0.5), "left is 0.5 where an integer or null is expected"),
        (_with_block(dense_inputs=[0.0]), r"dense_inputs is \[0.0\] where a list of integers is expected"),
        (_with_block(dense_operators="fc"), "dense_operators is 'fc' where a list of strings is expected"),
    ],
)
def test_json_that_is_no_architecture_is_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Architecture.from_json(data)


def test_the_last_block_is_alive_and_an_unread_block_is_dead() -> None:
    arch = Architecture((block(), block(), block(dense_inputs=(1,))))
    dead, both = Live(*[False] * 6), (True, True, True, True, False, False)
    first, second, third = arch.live()
    assert first == replace(dead, dense_operators=True, dense_output=True)
    assert second == dead
    assert third == Live(*both)


def test_a_merger_keeps_the_other_kind_of_operator_alive() -> None:
    sparse_only = Architecture((block(dense_to_sparse=True, fm=True), block(sparse_inputs=(1,))))
    assert sparse_only.live()[0] == Live(
        dense_operators=True,
        sparse_operators=True,
        dense_output=False,
        sparse_output=True,
        dense_to_sparse=True,
        fm=False,
    )
    dense_only = Architecture((block(dense_to_sparse=True, fm=True), block(dense_inputs=(1,))))
    assert dense_only.live()[0] == Live(
        dense_operators=True,
        sparse_operators=True,
        dense_output=True,
        sparse_output=False,
        dense_to_sparse=False,
        fm=True,
    )


def test_only_the_operators_that_read_an_input_keep_it_alive() -> None:
    inputs = {"dense_inputs": (1,), "sparse_inputs": (1,), "left": 2, "right": 3}

    def read(dense: str | None, sparse: str | None = None) -> list[tuple[bool, bool]]:
        reader = replace(block(dense, sparse), **inputs)
        last = block(dense_inputs=(4,) if dense else (0,), sparse_inputs=(4,) if sparse else (0,))
        arch = Architecture((block(), block(), block(), reader, last))
        return [(live.dense_output, live.sparse_output) for live in arch.live()[:3]]

    assert read("fc") == [(True, False), (False, False), (False, False)]
    assert read("dot-product") == [(True, True), (False, False), (False, False)]
    assert read("gating") == read("sum") == [(False, False), (True, False), (True, False)]
    assert read(None, "efc") == read(None, "attention") == [(False, True), (False, False), (False, False)]


@given(architectures())
def test_the_canonical_form_is_its_own_canonical_form_and_wholly_alive(arch: Architecture) -> None:
    form = arch.canonical()
    assert form.canonical() == form
    for part, live in zip(form.blocks, form.live(), strict=True):
        assert bool(part.dense_operators) == live.dense_operators
        assert bool(part.sparse_operators) == live.sparse_operators
        assert (part.dense_to_sparse, part.fm) == (live.dense_to_sparse, live.fm)
        assert bool(part.dense_inputs) == part.reads_dense_inputs
        assert bool(part.sparse_inputs) == part.reads_sparse_inputs
        assert (part.left is not None) == (part.right is not None) == part.reads_operands


@given(architectures())
def test_the_canonical_form_keeps_every_live_choice(arch: Architecture) -> None:
    assert arch.canonical().live() == arch.live()
    for part, kept, live in zip(arch.blocks, arch.canonical().blocks, arch.live(), strict=True):
        if live.dense_operators:
            assert (kept.dense_operators, kept.dense_width) == (part.dense_operators, part.dense_width)
        if live.sparse_operators:
            assert (kept.sparse_operators, kept.sparse_width) == (part.sparse_operators, part.sparse_width)
        if kept.reads_dense_inputs:
            assert kept.dense_inputs == part.dense_inputs
        if kept.reads_sparse_inputs:
            assert kept.sparse_inputs == part.sparse_inputs
        if kept.reads_operands:
            order = sorted if kept.dense_operators == ("sum",) else list
            assert [kept.left, kept.right] == order([part.left, part.right])


@given(architectures(), st.integers(0, 2**32))
def test_a_mutation_that_keeps_the_canonical_form_keeps_the_id_and_no_other_does(arch: Architecture, seed: int) -> None:
    name = "nasrec-full" if arch.blocks[0].left is not None else "nasrec-small"
    changed = SearchSpace.named(name).mutate(arch, random.Random(seed), count=2)
    assert (changed.id == arch.id) == (changed.canonical() == arch.canonical())
    assert arch.id == arch.canonical().id
    assert len(arch.id) == 12
    assert int(arch.id, 16) >= 0


def test_choices_without_effect_do_not_tell_architectures_apart() -> None:
    last = block("sum", left=0, right=1, dense_inputs=(0,))
    arch = Architecture((block(), last))
    for change in ({"left": 1, "right": 0}, {"dense_inputs": (0, 1)}):
        assert Architecture((block(), replace(last, **change))).id == arch.id
    assert Architecture((block(sparse="attention", dense_to_sparse=True), last)).id == arch.id
    gated = [Architecture((block(), block("gating", left=left, right=1 - left))) for left in (0, 1)]
    assert gated[0].id != gated[1].id


def test_an_id_names_the_same_architecture_in_every_version_of_the_program() -> None:
    assert Architecture((BLOCK, SECOND)).id == "60632d448670"


def test_the_cross_network_is_part_of_the_value_and_nasrec_s_architectures_are_written_as_before() -> None:
    plain, crossed = Architecture((BLOCK,)), Architecture((BLOCK,), (("cross", 2),))
    assert set(plain.to_json()) == {"version", "blocks"}
    assert crossed.to_json() == plain.to_json() | {"cross_layers": 2}
    assert Architecture.from_json(crossed.to_json()) == crossed
    assert Architecture.from_json(plain.to_json()) == plain
    assert crossed.canonical().branches == (("cross", 2),)
    assert len({plain.id, crossed.id, replace(crossed, branches=(("cross", 3),)).id}) == 3
    for wrong in (-1, 1.0, True, "2", None):
        with pytest.raises(InputError, match="cross_layers is"):
            Architecture.from_json(plain.to_json() | {"cross_layers": wrong})
