"""The second look of a search: the best candidates are measured again, by what would be too dear for all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from recnas.execution.executor import Executor
from recnas.features.schema import Schema
from recnas.runs.folder import SHORTLIST, SHORTLISTED
from recnas.runs.history import History, Recorded
from recnas.runs.settings import Settings
from recnas.search.choice import choose_finalists
from recnas.search.costs import Costs
from recnas.search.scoring import scored_by
from recnas.util import forms
from recnas.util.console import Console
from recnas.util.errors import InputError
from recnas.util.files import FROM_HERE


def make_shortlist(
    run: Path,
    settings: Settings,
    history: Sequence[Recorded],
    schema: Schema,
    costs: Costs,
    executor: Executor,
    console: Console,
) -> tuple[list[Recorded], float]:
    """Measures the best candidates of a history again.

    They are taken as finalists would be. Their new scores are sums of terms that are standardised over the shortlist,
    so that proxies of different units can be added.

    Args:
        run: The run's folder; who is in its `shortlist.jsonl` already is not measured again.
        settings: The run's, whose ranking has a second look.
        history: Every candidate with its score of the first look.
        schema: The data's features.
        costs: What candidates cost.
        executor: Of processes that `start_scoring` has prepared.
        console: Where it is shown.

    Returns:
        The shortlist with its new scores, and the seconds that measuring took.

    Raises:
        InputError: A line of the file is damaged, or of another run.
        RunError: The file cannot be written.
    """
    second = settings.ranking.second
    assert second is not None, "there is no second look"
    chosen = choose_finalists(history, settings.proxy.shortlist, costs.objectives)
    journal = History(run, SHORTLISTED, forms.ListedLine)
    if journal.dropped:
        console.say(f"{run / SHORTLISTED}: the last line was cut short; its candidate is measured again")
    start = time.perf_counter()
    with closing(journal), console.bar(len(chosen), SHORTLIST, "candidates") as bar:
        proposals = [item.proposal for item in chosen]
        with closing(journal.fill(proposals, partial(scored_by, executor, schema, look=1))) as measured:
            for _, known in measured:
                (bar.skip if known else bar.update)()
    seconds = journal.seconds_before / executor.side_by_side + time.perf_counter() - start
    console.say(f"shortlist: {len(chosen):,} candidates in {seconds:.0f} s")
    for number, item in enumerate(journal.recorded, start=1):
        if missing := [name for name in second.names if name not in item.scored.values]:
            raise InputError(f"{run / SHORTLISTED}:{number}: damaged (no {missing[0]}); {FROM_HERE}")
    scores = second.standardised_scores([item.scored.values for item in journal.recorded])
    listed = [
        replace(item, scored=replace(item.scored, score=new))
        for item, new in zip(journal.recorded, scores, strict=True)
    ]
    return listed, seconds
