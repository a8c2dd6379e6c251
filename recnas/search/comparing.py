"""How sure it is which of several models is best, by the rows that they were compared by. Needs no torch.

A paired bootstrap: rows are drawn again and again, with replacement, and in each sample all models are compared. That
tells how far a model may be from the best one, and how often another would have been chosen. The best in a sample,
measured on the rows that are not in it, tells how good the best really is: of many models the best on some rows is also
the luckiest there (Tsamardinos, Greasidou and Borboudakis 2018, "Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation").

Sizes: M models, N rows, G groups of rows, S samples.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recnas.runs.comparison import Comparison, Standing

MOST_GROUPS = 5_000
"""Rows are drawn in random groups where there are more: what samples differ by is the same, and it costs less."""
SAMPLES = 1_000
AT_ONCE = 100
"""Samples that are drawn together."""


def row_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The log loss of each row, `[N]`, of logits `[N]` and labels `[N]` of 0 and 1."""
    return np.logaddexp(0.0, np.where(labels, -logits, logits).astype(np.float64))


def compare(models: Iterable[tuple[str, np.ndarray]], seed: int) -> Comparison:
    """Compares models by the same rows.

    Args:
        models: A name for each, and its log loss of each row, `[N]`; they are looked at one after the other.
        seed: Of the samples. The same arguments give the same comparison.

    Raises:
        ValueError: There are no models or no rows.
    """
    rng, names, sums = np.random.default_rng(seed), [], []
    groups = rows = None
    for name, losses in models:
        if groups is None:
            count = min(len(losses), MOST_GROUPS)
            groups = rng.permutation(len(losses)) % max(count, 1)
            rows = np.bincount(groups).astype(np.float64)
        names.append(name)
        sums.append(np.bincount(groups, weights=losses))
    if groups is None or not len(rows):
        raise ValueError("no model's losses were given, or none of any row")
    of_groups = np.stack(sums)
    best = int(of_groups.sum(axis=1).argmin())
    behind, firsts, unseen = np.empty((SAMPLES, len(names))), np.zeros(len(names)), []
    for start in range(0, SAMPLES, AT_ONCE):
        drawn = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=AT_ONCE)
        means = drawn @ of_groups.T / (drawn @ rows)[:, None]
        winners = means.argmin(axis=1)
        behind[start : start + AT_ONCE] = means - means[:, [best]]
        firsts += np.bincount(winners, minlength=len(names))
        left_out = drawn == 0
        counts = left_out @ rows
        # A sample of very few rows may have them all.
        told = counts > 0
        lost = (left_out * of_groups[winners]).sum(axis=1)
        unseen += list(lost[told] / counts[told])
    low, high = np.quantile(behind, (0.025, 0.975), axis=0)
    standings = map(Standing, low.tolist(), high.tolist(), (firsts / SAMPLES).tolist())
    corrected = float(np.mean(unseen)) if unseen else float(of_groups[best].sum() / rows.sum())
    return Comparison(corrected, dict(zip(names, standings, strict=True)))
