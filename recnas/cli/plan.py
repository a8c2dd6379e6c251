"""`recnas plan`: where a data set's embedding tables would lie on many processes."""

from __future__ import annotations

import argparse
import json

from recnas.candidates.embedding_optimizer import NAMES, EmbeddingOptimizer
from recnas.cli.base import Command
from recnas.cli.flags import add_setting_flags, given_sharding
from recnas.runs.settings import Settings


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", help="the data set's folder, or criteo, avazu or kdd for the published table sizes"
    )
    parser.add_argument("--world-size", type=int, required=True, metavar="N", help="processes, one a device")
    parser.add_argument("--local-world-size", type=int, metavar="N", help="processes of one host (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what they compute on (default: cpu)")
    parser.add_argument("--batch-size", type=int, default=512, metavar="N", help="rows a step of each (default: 512)")
    parser.add_argument("--max-rows-per-table", type=int, metavar="N", help="cap on the tables (default: none)")
    usual = EmbeddingOptimizer().name
    parser.add_argument(
        "--embedding-optimizer", default=usual, metavar="NAME", help=f"{' or '.join(NAMES)} (default: {usual})"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_setting_flags(parser, Settings, only=["sharding"])


def _run(arguments: argparse.Namespace) -> None:
    from recnas.nn.table_plan import plan

    found = plan(
        arguments.data,
        arguments.world_size,
        device=arguments.device,
        local_world_size=arguments.local_world_size,
        batch_size=arguments.batch_size,
        max_rows_per_table=arguments.max_rows_per_table,
        optimizer=arguments.embedding_optimizer,
        sharding=given_sharding(arguments),
    )
    print(json.dumps(found.to_json(), indent=2) if arguments.json else found)


PLAN = Command(
    "plan",
    "data set -> where its embedding tables would lie on many processes, and the memory that takes",
    "show where embedding tables would lie on many processes, and the memory that takes",
    "recnas plan data/criteo --world-size 8 --device cuda",
    _add_flags,
    _run,
)
