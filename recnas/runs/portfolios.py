"""A portfolio learned from runs: few candidates of which, whatever the data set is like, one of the first is good."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Training
from recnas.candidates.families import USUAL_TREES
from recnas.candidates.portfolio import Member
from recnas.runs.folder import CONFIG, read_config
from recnas.runs.history import FILE_NAME
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import checked_line, read_lines

MOST_REGRET = 1.0
"""What a candidate counts for at most on a data set, and one that was not trained there: as bad as the middle one."""

PLACES_OF_TREES = {0: None, 3: 0}
"""Where trees stand in every portfolio that is long enough, from 0, and with how many joint ids: they take seconds, and
what is learned is the order of networks, which are ahead of them or not, and beside them in an ensemble."""

Losses = Mapping[str, Mapping[str, float]]
"""Validation log loss of what was trained: by the name of the data set, then by the id of the candidate without joint
ids."""


@dataclass(frozen=True)
class Learned:
    """A portfolio, and what it is worth.

    Attributes:
        members: In the order in which they are tried, trees at their places.
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
    """Chooses greedily: next is what lowers the mean regret of the best so far most (Feurer et al. 2022, section 3.1),
    for its price.

    A candidate's regret on a data set is how far its log loss is from the lowest there, in units of how far the median
    is. So data sets count alike, however hard they are. Its price is what a search spends on any training, and as much
    again for each median time that its own takes: what is a little better and takes ten times as long comes later. Of a
    candidate that was trained with several numbers of joint ids the best counts, as a search finds that number by
    itself. Networks that learned from an ensemble do not count: a search begins with none.

    Args:
        runs: Folders of runs that trained candidates, of one data set or several.
        size: Networks at most.

    Raises:
        InputError: There is nothing in them to learn from.
    """
    members: dict[str, Member] = {}
    losses: dict[str, dict[str, float]] = {}
    seconds: dict[str, dict[str, float]] = {}
    for run in runs:
        if not (run / CONFIG).is_file():
            raise InputError(f"{run}: no run is there")
        data = Path(str(read_config(run).get("data") or run)).name
        for candidate, training in _trained(run):
            member = Member.of(candidate)
            name = member.candidate.id
            members[name] = member
            known = losses.setdefault(data, {})
            known[name] = min(training.validation.log_loss, known.get(name, math.inf))
            of_data = seconds.setdefault(data, {})
            of_data[name] = min(training.seconds, of_data.get(name, math.inf))
    if not members:
        raise InputError(f"{' '.join(map(str, runs))}: no candidate was trained to its end there")
    regrets = {data: _regrets(known) for data, known in losses.items()}
    prices = _prices(seconds)
    left_out = {}
    for data in regrets if len(regrets) > 1 else ():
        others = [regret for name, regret in regrets.items() if name != data]
        tried = [regrets[data][name] for name in _greedy(others, prices, size) if name in regrets[data]]
        left_out[data] = min(tried, default=None)
    best = {data: min(known.values()) for data, known in losses.items()}
    chosen = _greedy(list(regrets.values()), prices, size)
    return Learned(_with_trees([members[name] for name in chosen]), losses, left_out, best)


def _with_trees(networks: list[Member]) -> list[Member]:
    found = list(networks)
    for place, joint_ids in PLACES_OF_TREES.items():
        found.insert(place, Member(own_candidate(USUAL_TREES), joint_ids))
    return found


def _trained(run: Path) -> Iterator[tuple[Candidate, Training]]:
    """Networks that a run trained to their ends by the labels alone, and what they came to."""
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
        is_known = training.finished and training.validation is not None
        if is_known and candidate.recipe is not None and not candidate.soft_labels:
            yield candidate, training


def _regrets(losses: Mapping[str, float]) -> dict[str, float]:
    """How far each is from the best, in units of how far the median is."""
    best, middle = min(losses.values()), statistics.median(losses.values())
    unit = max(middle - best, 1e-6)
    return {name: min(MOST_REGRET, (loss - best) / unit) for name, loss in losses.items()}


def _prices(seconds: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """1 and how long each took, in units of the median of its data set, on the mean of all where it was trained."""
    shares: dict[str, list[float]] = {}
    for known in seconds.values():
        middle = max(statistics.median(known.values()), 1e-6)
        for name, own in known.items():
            shares.setdefault(name, []).append(own / middle)
    return {name: 1 + statistics.mean(of_name) for name, of_name in shares.items()}


def _greedy(regrets: Sequence[Mapping[str, float]], prices: Mapping[str, float], size: int) -> list[str]:
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
        gains = {name: statistics.mean(now) - statistics.mean(after[name]) for name in names}
        best = min(names, key=lambda name: (-gains[name] / prices[name], alone[name]))
        names.remove(best)
        chosen.append(best)
        now = after[best]
    return chosen
