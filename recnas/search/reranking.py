"""A run's re-ranking: the best candidates are evaluated again, by what would be too expensive for all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from recnas.candidates.evaluation import Result
from recnas.runs.folder import RE_RANKING
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import Settings
from recnas.search.context import RunContext
from recnas.search.loop import pursue
from recnas.search.plan import plan_scoring
from recnas.search.stage import Findings, Stage
from recnas.strategies.two_stage import ReRanking as ReRankingStrategy


class ReRanking(Stage):
    """Evaluates the best of what was explored by the second stage of the ranking.

    They are taken as finalists would be. Their new scores are sums of terms that are standardised over them, so that
    proxies of different units can be added.
    """

    name = RE_RANKING

    def planned(self, settings: Settings, rows: Mapping[str, int]) -> PlannedStage:
        """See `Stage.planned`."""
        second = settings.ranking.second
        assert second is not None, "the ranking has no second stage"
        count = min(settings.proxy.rerank, settings.evolution.candidates)
        return plan_scoring(self.name, settings.proxy, second, count)

    def run(self, context: RunContext, findings: Findings) -> None:
        """See `Stage.run`."""
        settings, console = context.settings, context.console
        second = settings.ranking.second
        assert second is not None, "the ranking has no second stage"
        strategy = ReRankingStrategy(findings.explored, settings.proxy.rerank, context.costs.point)
        results: list[Result] = []
        known_before = 0.0
        start = time.perf_counter()
        count = min(settings.proxy.rerank, len(findings.explored))
        with console.bar(count, self.name, "candidates") as bar:

            def each(result: Result, known: bool) -> None:
                nonlocal known_before
                results.append(result)
                known_before += known * result.seconds
                (bar.skip if known else bar.update)()

            pursue(strategy, context.history, self.name, context.score_again, each)
        seconds = known_before / context.executor.side_by_side + time.perf_counter() - start
        console.say(f"{self.name}: {len(results):,} candidates in {seconds:.0f} s")
        scores = second.standardised_scores([result.proxies for result in results])
        findings.reranked = [replace(result, score=score) for result, score in zip(results, scores, strict=True)]
        findings.seconds += seconds
