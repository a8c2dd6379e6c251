"""The stages of a run, one after the other. A stage is added here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recnas.runs.plan import Plan
from recnas.runs.settings import Settings
from recnas.search.context import RunContext
from recnas.search.ensembling import Ensembling
from recnas.search.exploring import Exploring
from recnas.search.final_training import FinalTraining
from recnas.search.joint_search import JointSearch
from recnas.search.reranking import ReRanking
from recnas.search.stage import Findings, Stage
from recnas.search.testing import Test
from recnas.search.tuning import Tuning
from recnas.search.warmup_stage import WarmUp
from recnas.strategies.base import Strategy


def stages_of(settings: Settings, strategy: Strategy | None = None) -> list[Stage]:
    """What a run does; without a search it trains baselines alone.

    Args:
        settings: The run's.
        strategy: What proposes candidates; None: the one that the settings name.
    """
    last = last_stages(settings, settings.final.baselines)
    if not settings.searches:
        return last
    if settings.trains:
        return [JointSearch(strategy), *last]
    warm_up = [WarmUp()] if settings.warms_up else []
    re_ranking = [ReRanking()] if settings.ranking.second is not None else []
    return [*warm_up, Exploring(strategy), *re_ranking, *last]


def last_stages(settings: Settings, baselines: Sequence[str]) -> list[Stage]:
    """What follows a search, and all that is done where baselines are added to a finished run.

    Args:
        settings: The run's.
        baselines: The names of those that are trained.
    """
    tuning = [Tuning(baselines)] if settings.final.tuning.wanted else []
    ensembling = [Ensembling()] if settings.final.ensemble > 1 else []
    return [*tuning, FinalTraining(baselines), *ensembling, Test()]


def plan_search(settings: Settings, rows: Mapping[str, int]) -> Plan:
    """What a run has to do, of baselines alone too; its ranking's proxies are imported.

    Args:
        settings: The run's.
        rows: Of each split.
    """
    return Plan(tuple(stage.planned(settings, rows) for stage in stages_of(settings)), rows["train"])


def go_through(context: RunContext, stages: Sequence[Stage]) -> Findings:
    """Does the stages of a run; gives what they found."""
    findings = Findings()
    for stage in stages:
        stage.run(context, findings)
    return findings
