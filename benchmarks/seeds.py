"""Mean and spread of the results of several runs, which differ in their seed.

make demo SEED=0; make demo SEED=1; make demo SEED=2
python benchmarks/seeds.py runs/demo runs/demo-1 runs/demo-2
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    results = [json.loads((run / "results.json").read_text()) for run in parser.parse_args().runs]
    figures: dict[str, list[dict]] = {}
    for result in results:
        for model in result["models"]:
            if model["status"] == "trained" and (model["id"] == result["best"] or model["kind"] == "baseline"):
                name = "found model" if model["kind"] == "found" else model["id"]
                figures.setdefault(name, []).append(model)
    print(f"{len(results)} runs       {'validation log loss':>20} {'test log loss':>18} {'test AUC':>18}")
    for name, models in figures.items():
        cells = []
        for split, key in (("validation", "log_loss"), ("test", "log_loss"), ("test", "auc")):
            values = [model[split][key] for model in models]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.4f} ± {spread:.4f}")
        print(f"{name:<12} {cells[0]:>20} {cells[1]:>18} {cells[2]:>18}")
    minutes = [result["seconds"] / 60 for result in results]
    print(f"minutes a search: {', '.join(f'{value:.1f}' for value in minutes)}")


if __name__ == "__main__":
    main()
