"""Where tables would lie: all of them somewhere, within the memory there is, and only as allowed."""

import json
from itertools import pairwise

import pytest

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.cli import main
from recnas.nn.embeddings import table_configs
from recnas.nn.planning import Planning
from recnas.nn.sharding import Sharding
from recnas.nn.table_plan import plan
from recnas.util.errors import InputError

CRITEO_ROWS = 33_762_601


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("world_size", [1, 3, 8])
def test_every_row_is_somewhere(device: str, world_size: int) -> None:
    found = plan("criteo", world_size, device=device)
    assert sum(table.rows for table in found.tables) == CRITEO_ROWS
    assert len(found.tables) == 26
    # Rows of 16 weights and one sum.
    assert sum(table.size for table in found.tables) == CRITEO_ROWS * 17 * 4
    assert [item.process for item in found.memory] == list(range(world_size))
    assert sum(item.rows for item in found.memory) == CRITEO_ROWS
    for item in found.memory:
        used, unused = (item.host, item.device) if device == "cpu" else (item.device, item.host)
        assert used >= item.rows * 16 * 4
        assert unused == 0
        assert item.optimizer_state == item.rows * 4


def test_a_table_that_one_device_cannot_hold_is_split_or_moved() -> None:
    # All tables take 2.2 GB, the largest 0.66 GB, with its sums 0.69 GB.
    small = plan("criteo", 8, device="cuda", sharding=Sharding(device_memory=600_000_000, kernels=("fused",)))
    largest = max(small.tables, key=lambda table: table.rows)
    assert largest.way in ("row_wise", "table_row_wise")
    assert len(largest.processes) > 1
    assert all(item.device <= 600_000_000 * 0.85 for item in small.memory)
    cached = plan("criteo", 1, device="cuda", sharding=Sharding(device_memory=1_000_000_000))
    assert any(table.kernel == "fused_uvm_caching" for table in cached.tables)
    assert cached.memory[0].host > 0


def test_more_memory_never_needs_more_of_the_host() -> None:
    host = [
        sum(item.host for item in plan("avazu", 2, device="cuda", sharding=Sharding(device_memory=memory)).memory)
        for memory in (200_000_000, 400_000_000, 2_000_000_000)
    ]
    assert all(more >= less for more, less in pairwise(host))
    assert host[-1] == 0


def test_ways_are_those_that_are_allowed() -> None:
    rows = Sharding(types=("row_wise",), tables=("C1=table_wise",))
    for table in plan("criteo", 4, device="cuda", sharding=rows).tables:
        assert table.way == ("table_wise" if table.feature == "C1" else "row_wise")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["criteo", "--world-size", "0"], "world_size is 0"),
        (["criteo", "--world-size", "2", "--sharding", "row_wise"], "row_wise is not offered on a cpu"),
        (["criteo", "--world-size", "2", "--sharding", "rowwise"], "no way to split a table is named 'rowwise'"),
        (["criteo", "--world-size", "2", "--sharding", "column_wise"], "take --embedding-optimizer adagrad"),
        (
            ["criteo", "--world-size", "2", "--sharding", "column_wise", "--embedding-optimizer", "adam"],
            "whose state is kept whole by adam",
        ),
        (
            ["criteo", "--world-size", "2", "--device", "cuda", "--embedding-optimizer", "rowwise-adam"],
            "rowwise-adam is not offered on cuda; rowwise-adagrad, adagrad, adam are",
        ),
        (["criteo", "--world-size", "2", "--table-sharding", "C99=table_wise"], "no such sparse feature"),
        (["criteo", "--world-size", "2", "--table-sharding", "C1"], "write it as item=row_wise"),
        (["criteo", "--world-size", "2", "--table-memory", "fused_uvm"], "a CPU has one memory"),
        (["criteo", "--world-size", "2", "--host-memory", "100M"], "the embedding tables cannot be placed"),
        (["criteo", "--world-size", "2", "--max-rows-per-table", "-5"], "max_rows_per_table is -5"),
        (["criteo", "--world-size", "8", "--local-world-size", "3"], "not shared out evenly over hosts of 3"),
        (["nowhere", "--world-size", "2"], "nowhere"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_it_is_printed_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "kdd", "--world-size", "2", "--device", "cuda"]) == 0
    text = capsys.readouterr().out
    assert "kdd: 10 tables of 50,666,853 rows" in text
    assert main(["plan", "kdd", "--world-size", "2", "--device", "cuda", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["memory"]) == 2
    assert {table["feature"] for table in found["tables"]} >= {"query", "user"}


def test_elementwise_optimisers_keep_more_of_each_weight() -> None:
    found = plan("avazu", 2, optimizer="adagrad")
    assert sum(table.size for table in found.tables) == sum(table.rows for table in found.tables) * 32 * 4
    # And Adam two moments, and how often a row was updated.
    found = plan("avazu", 2, optimizer="adam")
    assert sum(table.size for table in found.tables) == sum(table.rows for table in found.tables) * 49 * 4
    with pytest.raises(InputError, match="no embedding optimiser is named"):
        plan("avazu", 2, optimizer="sgd")


def test_a_cuda_device_has_room_for_first_moments_that_are_not_used() -> None:
    # FBGEMM keeps them all the same: 16 weights of a row, and 33 numbers of its state.
    tables, rows = table_configs({"user": 2**20}, 16), 2**20
    unused = EmbeddingOptimizer("adam", beta1=0.0)
    for share, fits in ((0.8, True), (0.9, False)):
        memory = Sharding(kernels=("fused",), device_memory=int(rows * 49 * 4 / share))
        planning = Planning(tables, unused, 1, "cuda", memory, 512)
        if fits:
            assert planning.plan()
        else:
            with pytest.raises(InputError, match="the embedding tables cannot be placed"):
                planning.plan()
