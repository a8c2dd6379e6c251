"""Trains one pool of candidates on many data sets, for `recnas portfolio` to learn from.

    python -m benchmarks.portfolio data/movielens data/insteval … --output runs/portfolio --candidates 24
    recnas portfolio runs/portfolio/* --output recnas/candidates/portfolio.yaml

The pool is every family's own candidate, then draws near these in turn, the same for every data set. What is trained
is what a search trains: joint ids are proposed from the training rows, and the first candidate finds out how many help.
One thread does it; a run that was killed is resumed by the same command, and a data set that has ended is not done
again.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

# Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import recnas
from recnas.candidates.joint_space import JointSpace
from recnas.candidates.portfolio import Member, save_portfolio
from recnas.space import SearchSpace
from recnas.strategies.portfolio import Portfolio
from recnas.util.errors import InputError, RunError

FIRST = ("deepfm", "dcnv2", "finalnet", "gdcn", "dnn", "masknet", "xdeepfm", "dlrm", "autoint+", "nasrec-cross")
"""Kinds of networks of the pool, those first that train fast or were good so far."""
CHANGES = 3
"""Places in which a draw differs from its family's own candidate."""
MORE_THAN_POOL = 4
"""Candidates beside the pool: what the first one is trained with several numbers of joint ids for."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=24, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    members = pool(given.candidates, given.seed)
    given.output.mkdir(parents=True, exist_ok=True)
    save_portfolio(members, given.output / "pool.yaml")
    for data in given.data:
        try:
            recnas.search(
                data,
                given.output / data.name,
                strategy=Portfolio(members, sources=(), refines=False),
                budget=f"{len(members) + MORE_THAN_POOL}c",
                seed=given.seed,
                workers=1,
                resume=True,
                checkpoint_seconds=60.0,
            )
        except (InputError, RunError) as error:
            sys.exit(f"benchmarks.portfolio: {error}")


def pool(count: int, seed: int) -> list[Member]:
    """So many candidates."""
    families = tuple(name for name in FIRST if name != "nasrec-cross")
    space, rng = JointSpace(families, SearchSpace.named("nasrec-cross")), random.Random(seed)
    found = [Member(space.own(kind)) for kind in families]
    found.append(Member(replace(space.own("nasrec-cross"), network=space.space.sample(rng))))
    while len(found) < count:
        kind = FIRST[len(found) % len(FIRST)]
        own = found[len(found) % len(FIRST)].candidate if kind == "nasrec-cross" else space.own(kind)
        found.append(Member(space.mutate(own, rng, CHANGES)))
    return found[:count]


if __name__ == "__main__":
    main()
