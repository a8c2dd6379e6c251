"""A portfolio learned from runs: few candidates of which, whatever the data set is like, one of the first is good."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Training
from recnas.candidates.portfolio import Member
from recnas.runs.folder import CONFIG, read_config
from recnas.runs.history import FILE_NAME
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import checked_line, read_lines

MOST_REGRET = 1.0
"""What a candidate counts for at most on a data set, and one that was not trained there: as bad as the middle one."""

Losses = Mapping[str, Mapping[str, float]]
"""Validation log loss of what was trained: by the name of the data set, then by the id of the candidate without joint
ids."""


@dataclass(frozen=True)
class Learned:
    """A portfolio, and what it is worth.

    Attributes:
        members: In the order in which they are tried.
        losses: What they were learned from.
        left_out: By data set the regret of the best of a portfolio that was learned on the others alone, of those
            members that were trained there; None where none was.
        best: By data set the lowest log loss.
    """

    members: list[Member]
    losses: Losses
    left_out: Mapping[str, float | None]
    best: Mapping[str, float]


def learn_portfolio(runs: Sequence[Path], size: int) -> Learned:
    """Chooses greedily: next is what lowers the mean regret of the best so far most (Feurer et al. 2022, section 3.1).

    A candidate's regret on a data set is how far its log loss is from the lowest there, in units of how far the median
    is. So data sets count alike, however hard they are. Of a candidate that was trained with several numbers of joint
    ids the best counts, as a search finds that number by itself.

    Args:
        runs: Folders of runs that trained candidates, of one data set or several.
        size: Members at most.

    Raises:
        InputError: There is nothing in them to learn from.
    """
    members: dict[str, Member] = {}
    losses: dict[str, dict[str, float]] = {}
    for run in runs:
        if not (run / CONFIG).is_file():
            raise InputError(f"{run}: no run is there")
        data = Path(str(read_config(run).get("data") or run)).name
        for candidate, loss in _trained(run):
            member = Member.of(candidate)
            name = member.candidate.id
            members[name] = member
            known = losses.setdefault(data, {})
            known[name] = min(loss, known.get(name, math.inf))
    if not members:
        raise InputError(f"{' '.join(map(str, runs))}: no candidate was trained to its end there")
    regrets = {data: _regrets(known) for data, known in losses.items()}
    left_out = {}
    for data in regrets if len(regrets) > 1 else ():
        others = [regret for name, regret in regrets.items() if name != data]
        tried = [regrets[data][name] for name in _greedy(others, size) if name in regrets[data]]
        left_out[data] = min(tried, default=None)
    best = {data: min(known.values()) for data, known in losses.items()}
    return Learned([members[name] for name in _greedy(list(regrets.values()), size)], losses, left_out, best)


def _trained(run: Path) -> Iterator[tuple[Candidate, float]]:
    """Networks that a run trained to their ends, and what they came to on validation."""
    lines, _ = read_lines(run / FILE_NAME)
    for number, line in enumerate(lines, start=1):
        where = f"{run / FILE_NAME}:{number}"
        if checked_line(line, forms.EvaluationLine, where).get("training") is None:
            continue
        values = checked_line(line, forms.TrainedLine, where)
        training = Training.from_json(values["training"])
        try:
            candidate = Candidate.from_json(values["candidate"])
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if training.finished and training.validation is not None and candidate.recipe is not None:
            yield candidate, training.validation.log_loss


def _regrets(losses: Mapping[str, float]) -> dict[str, float]:
    """How far each is from the best, in units of how far the median is."""
    best, middle = min(losses.values()), statistics.median(losses.values())
    unit = max(middle - best, 1e-6)
    return {name: min(MOST_REGRET, (loss - best) / unit) for name, loss in losses.items()}


def _greedy(regrets: Sequence[Mapping[str, float]], size: int) -> list[str]:
    """Names in the order of the choice; of equally good ones what is better by itself, then what was met first."""
    names = list(dict.fromkeys(name for known in regrets for name in known))
    alone = {name: statistics.mean(known.get(name, MOST_REGRET) for known in regrets) for name in names}
    chosen: list[str] = []
    now = [MOST_REGRET] * len(regrets)
    while names and len(chosen) < size:
        after = {
            name: [min(before, known.get(name, MOST_REGRET)) for before, known in zip(now, regrets, strict=True)]
            for name in names
        }
        best = min(names, key=lambda name: (statistics.mean(after[name]), alone[name]))
        names.remove(best)
        chosen.append(best)
        now = after[best]
    return chosen
