"""Runs in AutoGluon's own environment, where recnas is not: yardstick_script.py FOLDER SECONDS SEED

Reads FOLDER/rows.npz, and writes the logits of the best model beside it, and what is told of it.
"""

import json
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from autogluon.tabular import TabularPredictor

LABEL = "the label"
LEAST = 1e-7


def main(folder: Path, seconds: float, seed: int) -> None:
    with np.load(folder / "rows.npz") as arrays:
        names, first = arrays["names"].tolist(), int(arrays["first_category"])
        frames = {}
        for split in ("train", "validation", "test"):
            frame = pd.DataFrame(arrays[f"{split}_rows"], columns=names)
            for name in names[first:]:
                frame[name] = frame[name].astype(np.int64).astype("category")
            frames[split] = frame.assign(**{LABEL: arrays[f"{split}_labels"].astype(int)})
    predictor = TabularPredictor(LABEL, eval_metric="log_loss", path=str(folder / "autogluon"), verbosity=1)
    predictor.fit(
        frames["train"],
        tuning_data=frames["validation"],
        time_limit=seconds,
        presets="medium_quality",
        num_cpus=1,
        ag_args_fit={"random_seed": seed},
    )
    for split in ("validation", "test"):
        probabilities = predictor.predict_proba(frames[split])[1].to_numpy(np.float64).clip(LEAST, 1 - LEAST)
        np.save(folder / f"autogluon.{split}.npy", np.log(probabilities / (1 - probabilities)))
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    about = {
        "seconds": sum(item.ru_utime + item.ru_stime for item in spent),
        "best": predictor.model_best,
        "models": predictor.model_names(),
    }
    (folder / "autogluon.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
