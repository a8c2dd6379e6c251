"""recnas searches for click-through-rate (CTR) models.

recnas.prepare("criteo", "data/criteo", input="train.txt")   raw click log → data set
recnas.describe("data/criteo")                                data set → what is in it
recnas.search("data/criteo", "runs/criteo")                   data set → run
recnas.baselines("data/criteo", "runs/criteo")                baselines, beside the models of a run or alone
recnas.study("data/criteo", "runs/criteo-study")              data set → how far each ranking can be trusted on it
recnas.plan("data/criteo", world_size=8, device="cuda")       where tables would lie on several processes
recnas.load("models/criteo")                                  exported model → torch module
recnas.bench.load("runs/table/table.parquet")                 table of trained candidates, asked instead of training
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from recnas.util.cores import keep_to_quota
from recnas.util.errors import InputError, RunError

if TYPE_CHECKING:
    from recnas import bench, search, study
    from recnas.data import describe
    from recnas.data_prep import prepare
    from recnas.export import load
    from recnas.nn.table_plan import plan
    from recnas.search import run_baselines as baselines

__all__ = ["InputError", "RunError", "baselines", "bench", "describe", "load", "plan", "prepare", "search", "study"]

if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}:
    # Threads of OpenMP that wait for others keep a core busy, by default for milliseconds. Where other programs want
    # it, those that they wait for are held up, and a training comes nearly to a halt. To sleep at once (the passive
    # policy) costs a fifth of the speed of an idle machine; to sleep after a thousand looks (GNU) or a millisecond
    # (LLVM) costs nothing there, and beside other work is as good. OpenMP reads this once, when torch is loaded.
    os.environ |= {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
keep_to_quota()


def __getattr__(name: str) -> Any:
    # Imported when asked for: the architectures and schemas of this package need no torch.
    if name == "prepare":
        from recnas.data_prep import prepare

        return prepare
    if name == "describe":
        from recnas.data import describe

        return describe
    if name == "load":
        from recnas.export import load

        return load
    if name == "plan":
        from recnas.nn.table_plan import plan

        return plan
    if name == "baselines":
        from recnas.search import run_baselines

        return run_baselines
    if name in ("bench", "search", "study"):
        import importlib

        return importlib.import_module(f"recnas.{name}")
    raise AttributeError(f"module 'recnas' has no attribute {name!r}")
