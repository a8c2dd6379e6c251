"""The simulation of a cluster, where its outcome can be told by hand."""

import pytest

from benchmarks.cluster import CANDIDATES, rounds_of, simulate


def test_one_worker_takes_all_candidates_and_messages_one_after_the_other() -> None:
    assert simulate([4, 2], 1, [0.5], 0.25) == pytest.approx(6 * 0.75)


def test_a_round_ends_with_its_last_candidate() -> None:
    assert simulate([8, 8], 16, [1.0], 0.0) == 2.0
    assert simulate([9], 8, [1.0], 0.0) == 2.0


def test_messages_are_sent_one_after_the_other() -> None:
    assert simulate([256], 256, [1.0], 0.5) == 256 * 0.5 + 1.0


@pytest.mark.parametrize("children", [8, 32, 128, None])
def test_every_way_scores_as_many_candidates(children: int | None) -> None:
    assert sum(rounds_of(children)) == CANDIDATES
