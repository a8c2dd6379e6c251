"""What a table says of itself to a person: what was trained, how, where, and how its file can be told."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from recnas.bench.table import Table

LICENCE = (
    "The figures are free to use under the licence of recnas, Apache-2.0. There is no row of the data set in it, whose "
    "own terms hold for that."
)


def card_of(file: Path) -> str:
    """The card of a table's file, in Markdown.

    Raises:
        InputError: It is no table.
    """
    table, digest = Table.read(file), hashlib.sha256(file.read_bytes()).hexdigest()
    about, frame = table.about, table.frame
    sound = frame[frame["diverged"].isna()]
    losses = sound.groupby("id")["test_log_loss"]
    spread, noise = losses.mean(), math.sqrt(losses.var().mean()) if about["seeds"] > 1 else math.nan
    most = about["settings"]["limits"]["max_macs"]
    what = (
        f"architectures of {about['space']['space']}"
        if about["space"]["space"] is not None
        else f"choices, recipes and inputs of {', '.join(about['space']['families'])}"
    )
    rows = about["rows"]
    quantiles = spread.quantile([0, 0.1, 0.5, 0.9, 1]).tolist()
    seeds = "one seed each" if about["seeds"] == 1 else f"up to {about['seeds']} seeds each"
    lines = [
        f"# {file.stem}: trained candidates on {about['data']}",
        "",
        f"{len(spread):,} random {what}, trained from scratch, with {seeds}: "
        f"{len(frame):,} trainings, {len(frame) - len(sound):,} of which diverged.",
        "",
        "| | |",
        "| --- | --- |",
        f"| data set | {about['data']}: {rows['train']:,} training, {rows['validation']:,} validation, "
        f"{rows['test']:,} test rows, {about['positive_rate']:.1%} of these clicked |",
        f"| limit | {'none' if most is None else f'{most:,} multiply–accumulates a row'} |",
        f"| test log loss, mean over seeds: best, 10 %, median, 90 %, worst | "
        f"{', '.join(f'{value:.4f}' for value in quantiles)} |",
        f"| its deviation between seeds | {'–' if math.isnan(noise) else f'{noise:.4f}'} |",
        f"| processor time of a training, median, all | {sound['seconds'].median():.0f} s, "
        f"{frame['seconds'].sum() / 3600:.1f} h |",
        f"| proxies | {', '.join(sorted({name.rpartition(':')[2] for name in table.proxies})) or 'none'} |",
        f"| their warm-ups | {', '.join(sorted({name.split(':')[1] for name in table.proxies})) or 'none'} |",
        f"| made | {about['created']}, by recnas {about['recnas']}, one thread a training, on "
        f"{about['machine']['processor']} ({about['machine']['cores']} cores) |",
        f"| SHA-256 | `{digest}` |",
        "",
        "Seconds are processor time of one thread, latency is wall time. A training is measured at every stop on all "
        "validation and test rows; what is kept in the end are the weights that were best on validation.",
        "",
        LICENCE,
        "",
    ]
    return "\n".join(lines)
