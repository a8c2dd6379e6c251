"""`recnas study`: how far each ranking can be trusted."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from recnas.cli.base import Command
from recnas.cli.flags import add_setting_flags
from recnas.cli.memory_remedy import TABLE_CAP, tables_of_folder
from recnas.cli.run_flags import add_run_flags, of_run
from recnas.study import StudySettings, run_study
from recnas.util.errors import suggested

OTHERS = (
    "budget",
    "with_trees",
    "strategy",
    "portfolio",
    "warmup.amount",
    "proxy.score",
    "proxy.rerank",
    "evolution",
    "limits.max_latency_ms",
    "limits.latency_batch",
    "limits.latency_threads",
    "final.top_k",
    "final.strategy",
    "final.first_share",
    "final.other_learning_rates",
    "final.baselines",
    "final.ensemble",
)
"""The settings of a search that a study does without, or has several of."""


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_run_flags(
        parser,
        data="the data set's folder",
        run="the folder for everything the study measures",
        preset="settings to begin with: demo, criteo, avazu, kdd, or a YAML file; flags override it",
        overwrite="replace an earlier study in that folder",
        resume="resume the study in that folder, as if it had never stopped",
    )
    add_setting_flags(parser, StudySettings, without=OTHERS)


def _run(arguments: argparse.Namespace) -> None:
    results = run_study(arguments.data, arguments.run, **of_run(arguments))
    from recnas.study.text import to_text

    print(f"{to_text(results)}\n\nlook at it: {suggested('recnas', 'report', Path(results['run']))}")


STUDY = Command(
    "study",
    "data set -> how far each ranking can be trusted on it",
    "find out how far each ranking can be trusted on a data set",
    "recnas study --data data/criteo --candidates 60 --warmup 0,0.01,0.1,1 --seeds 3 --run runs/criteo-study",
    _add_flags,
    _run,
    resumes=True,
    memory_remedy=partial(tables_of_folder, flag=TABLE_CAP),
)
