"""The baselines beside public implementations: parameters, and outputs with copied weights.

    pip install --no-deps --target build/public fuxictr==2.3.10 deepctr-torch==0.3.0
    git clone --depth 1 https://github.com/reczoo/FuxiCTR build/FuxiCTR
    git clone --depth 1 https://github.com/salmon1802/FCN build/FCN
    PYTHONPATH=build/public python -m benchmarks.baselines

Each model is made twice, here and by the other library, gets the same weights, and predicts the same rows; where one
learns by a loss of its own, that is compared, too. What is not there is left out. FuxiCTR's package has layers, and of
whole models only FinalMLP's parts: those that its repository makes of such layers are put together here likewise.
DeepCTR-Torch keeps dense features out of its interactions, so its models get sparse features alone. Biases: FuxiCTR
adds up to three to a logit where one does the same; those in excess are left at zero.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from benchmarks.baselines.deepctr import DeepCTR
from benchmarks.baselines.fuxictr import FuxiCTR
from benchmarks.baselines.repositories import Repositories
from benchmarks.baselines.torchrec import TorchRec
from recnas.candidates.families import FAMILIES

LARGEST_DIFFERENCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, repository in (("--fuxictr", "FuxiCTR"), ("--fcn", "FCN")):
        parser.add_argument(
            name, type=Path, default=Path("build") / repository, metavar="DIR", help=f"clone of {repository}"
        )
    arguments = parser.parse_args()
    comparisons = TorchRec().compare()
    for library, package in ((FuxiCTR, "fuxictr"), (DeepCTR, "deepctr_torch")):
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed and left out; see --help", file=sys.stderr)
        else:
            comparisons += library().compare()
    if importlib.util.find_spec("fuxictr") is not None:
        repositories = Repositories(arguments.fuxictr, arguments.fcn)
        comparisons += repositories.compare()
        if missing := repositories.missing():
            print(f"no clone has {', '.join(missing)}; see --help", file=sys.stderr)
    print(f"{'model':<10} {'implementation':<34} {'parameters':>22} {'idle':>5} {'largest difference':>19}")
    print(f"{'':<10} {'':<34} {'ours':>11}{'theirs':>11} {'biases':>6} {'of a logit':>18}")
    for item in sorted(comparisons, key=lambda item: list(FAMILIES).index(item.model)):
        print(
            f"{item.model:<10} {item.implementation:<34} {item.ours:>11,}{item.theirs:>11,} {item.excess:>6} "
            f"{item.difference:>18.1e}"
        )
        if item.theirs - item.excess != item.ours or not item.difference < LARGEST_DIFFERENCE:
            raise SystemExit(f"{item.model} does not agree with {item.implementation}")


if __name__ == "__main__":
    main()
