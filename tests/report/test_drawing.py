from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from recnas.features.description import DenseDescription, Description, SparseDescription
from recnas.report import style
from recnas.report.drawing import draw_architecture
from recnas.report.plan import Plan
from recnas.report.wiring import connections
from recnas.space import Architecture, Block, SearchSpace
from recnas.space.operators import BRANCHES
from tests.spaces import NASREC

# Block 1 makes D1 only for its merger, block 2 is read by nobody, block 3 takes products with a dead sparse operator.
KNOWN = Architecture(
    (
        Block(("fc",), ("efc",), 64, 16, dense_inputs=(0,), sparse_inputs=(0,), dense_to_sparse=True),
        Block(("gating",), ("attention",), 32, 16, (0,), (1,), left=0, right=1, dense_to_sparse=True, fm=True),
        Block(("dot-product",), ("efc",), 128, 32, dense_inputs=(0,), sparse_inputs=(1,)),
        Block(("sum",), ("efc",), 256, 48, sparse_inputs=(0,), left=3, right=0, fm=True),
    )
)


def parts(arch: Architecture, *, live: bool) -> set[str]:
    return drawn_parts(arch)[live]


def drawn_parts(arch: Architecture) -> dict[bool, set[str]]:
    """Names of the live and of the dead parts that the drawing shows."""
    metas = [trace.meta for trace in draw_architecture(arch).data]
    return {
        live: {meta["name"] for meta in metas if meta["live"] is live and not meta["overlay"]} for live in (True, False)
    }


def sampled(count: int) -> list[Architecture]:
    return [SearchSpace.named(name).sample(random.Random(seed)) for name in NASREC for seed in range(count)]


def test_exactly_the_dead_parts_of_a_known_architecture_are_grey():
    assert parts(KNOWN, live=False) == {
        "output D1",
        "output D2",
        "output S2",
        "output S3",
        "dense left of 2",
        "dense right of 2",
        "dense left into 2",
        "dense right into 2",
        "sparse input of 2",
        "sparse input into 2",
        "dot dense left 0→2",
        "dot dense right 1→2",
        "dot sparse input 1→2",
        "dense operator of 2",
        "sparse operator of 2",
        "dense→sparse of 2",
        "dense→sparse label of 2",
        "FM of 2",
        "FM label of 2",
        "sparse input into 3",
        "sparse operator of 3",
    }


def test_what_is_drawn_in_colour_reaches_the_logit():
    live = parts(KNOWN, live=True)
    assert {"dense operator of 1", "sparse operator of 1", "dense→sparse of 1", "output S1"} <= live
    assert {"dense operator of 3", "sparse input into 3 for products", "dense right of 4", "FM of 4", "logit"} <= live
    assert "dense operator of 2" not in live


@pytest.mark.parametrize("arch", sampled(6))
def test_operators_and_mergers_are_grey_where_the_architecture_says_they_are_dead(arch):
    drawn = drawn_parts(arch)
    for row, (block, live) in enumerate(zip(arch.blocks, arch.live(), strict=True), start=1):
        assert f"dense operator of {row}" in drawn[live.dense_operators]
        assert f"sparse operator of {row}" in drawn[live.sparse_operators]
        assert not block.fm or f"FM of {row}" in drawn[live.fm]
        assert not block.dense_to_sparse or f"dense→sparse of {row}" in drawn[live.dense_to_sparse]


@pytest.mark.parametrize("arch", sampled(3))
def test_every_connection_has_a_dot_and_a_line_from_its_source_to_its_reader(arch):
    metas = [trace.meta for trace in draw_architecture(arch).data]
    dots = sorted(meta["link"] for meta in metas if meta["link"] and not meta["overlay"])
    assert dots == sorted(meta["link"] for meta in metas if meta["overlay"])
    assert len(dots) == len(set(dots)) == len(connections(arch))


@pytest.mark.parametrize("arch", sampled(3))
def test_in_canonical_form_only_outputs_that_nobody_reads_are_grey(arch):
    arch = arch.canonical()
    read = {("D" if link.kind == "dense" else "S") + str(link.source) for link in connections(arch)}
    for name in parts(arch, live=False):
        assert name.removeprefix("output ") not in read or name in ("dense operator of 0", "sparse operator of 0")
        assert name.startswith("output ") or name in ("dense operator of 0", "sparse operator of 0")


def test_colours_agree_with_what_is_live():
    for trace in draw_architecture(KNOWN).data:
        if trace.mode == "lines" and trace.line.width and not trace.meta["overlay"]:
            assert (trace.line.color == style.DEAD) is not trace.meta["live"]


def test_an_architecture_of_one_block_can_be_drawn():
    one = Architecture((Block(("sum",), ("efc",), 16, 16, sparse_inputs=(0,), left=0, right=0),))
    assert parts(one, live=False) == set()


def test_the_supernets_full_path_can_be_drawn():
    assert draw_architecture(SearchSpace.named("nasrec-full").full_path()).data


def test_a_cross_network_is_a_row_of_its_own_that_reads_the_stem_and_goes_to_the_logit():
    crossed = replace(KNOWN, branches=(("cross", 2),))
    more = parts(crossed, live=True) - parts(KNOWN, live=True)
    row, logit = len(KNOWN.blocks) + 1, len(KNOWN.blocks) + 2
    assert {f"dot dense input 0→{row}", f"dot sparse input 0→{row}", "cross network", "cross network's output"} <= more
    traces = {trace.meta["name"]: trace for trace in draw_architecture(crossed).data if not trace.meta["overlay"]}
    box, down, end = (traces[name] for name in ("cross network", "cross network's output", "logit"))
    assert (down.y[0], down.y[-1]) == (max(box.y), min(end.y))
    assert traces["logit"].meta["rows"] == (logit,)
    said = [{text.text for text in draw_architecture(arch).layout.annotations} for arch in (crossed, KNOWN)]
    assert "<b>Cross network</b> · 2 layers over D0 and S0" in said[0]
    assert any("D4, S4, cross network" in text for text in said[0])
    assert not any("cross" in text.lower() for text in said[1])


def test_branches_have_a_row_each_and_their_outputs_places_of_their_own():
    names = ("cross", "gated-cross", "quadratic")
    several = replace(KNOWN, branches=tuple((name, 2) for name in names))
    traces = {trace.meta["name"]: trace for trace in draw_architecture(several).data if not trace.meta["overlay"]}
    titles = [BRANCHES[name].title.lower() for name in names]
    down = [traces[f"{title}'s output"] for title in titles]
    assert all(line.x[0] == line.x[-1] and line.y[-1] == min(traces["logit"].y) for line in down)
    assert len({line.x[0] for line in down}) == len(names)
    assert len({min(traces[title].y) for title in titles}) == len(names)


def test_the_rows_of_a_drawing_do_not_overlap():
    plan = Plan(3, 5)
    cards = [plan.card(row) for row in range(6)]
    assert all(upper.bottom < lower.top for upper, lower in pairwise(cards))


@pytest.mark.parametrize(
    ("dense", "sparse", "said"),
    [
        (0, 1, {"none: a constant 0", "1 embedding"}),
        (1, 26, {"1 number", "26 embeddings"}),
        (13, 2, {"13 numbers", "2 embeddings"}),
    ],
)
def test_the_stem_says_what_features_there_are(dense: int, sparse: int, said: set[str]):
    rates = dict.fromkeys(("train", "validation", "test"), 0)
    data = Description(
        rates,
        rates,
        (DenseDescription("a", "none", 0, 0, 1, 1, 0),) * dense,
        (SparseDescription("b", 3, 0, 9, 0, ()),) * sparse,
    )
    assert said <= {text.text for text in draw_architecture(KNOWN, data).layout.annotations}


@pytest.mark.parametrize("seed", range(6))
def test_where_the_logit_reads_what_is_unread_exactly_what_has_something_to_read_is_in_colour(seed: int):
    arch = SearchSpace.named("autoctr").sample(random.Random(seed))
    live, present = parts(arch, live=True), arch.live()
    for row, there in enumerate(present, start=1):
        assert (f"dense operator of {row}" in live) == there.dense_operators
        assert (f"output D{row}" in live) == there.dense_operators
    read_dense, read_sparse = arch.logit_inputs()
    logit = len(arch.blocks) + 1
    for kind, sources in (("dense", read_dense), ("sparse", read_sparse)):
        assert {f"dot {kind} input {source}→{logit}" for source in sources} == {
            name for name in live if name.startswith(f"dot {kind} ") and name.endswith(f"→{logit}")
        }
