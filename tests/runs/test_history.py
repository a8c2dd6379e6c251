"""`history.jsonl`: what it holds is given out again in order, and what it does not hold is made and recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result, Training
from recnas.candidates.network import Baseline
from recnas.runs.history import History, drop_after
from recnas.util.errors import InputError
from tests.candidates.values import TRAININGS, training_of
from tests.searches import read_lines_of
from tests.strategies.problems import RECIPE

NAMES = ("a", "b", "c", "d", "e")
ASKED = [Evaluation(Candidate(Baseline(name), RECIPE)) for name in NAMES]
RESULTS = [Result(asked, float(place), 0.5, {"zico": float(place)}) for place, asked in enumerate(ASKED)]


class Evaluating:
    """Evaluates, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Evaluation] = []

    def __call__(self, evaluations: list[Evaluation]) -> Iterator[Result]:
        self.asked += evaluations
        for evaluation in evaluations:
            yield next((item for item in RESULTS if item.evaluation == evaluation), None) or Result.of_training(
                evaluation, training_of([0.5, 0.4], 10, False, True)
            )


def fill(run: Path, stage: str, asked: list[Evaluation]) -> tuple[list[tuple[Result, bool]], list[Evaluation]]:
    """What a new process gets of a history, and what it evaluates."""
    history, evaluate = History(run), Evaluating()
    filled = list(history.fill(stage, asked, evaluate))
    history.close()
    return filled, evaluate.asked


@given(known=st.integers(0, 5))
def test_what_is_recorded_is_not_evaluated_again(tmp_path_factory: pytest.TempPathFactory, known: int) -> None:
    run = tmp_path_factory.mktemp("history")
    fill(run, "search", ASKED[:known])
    filled, evaluated = fill(run, "search", ASKED)
    assert filled == [(result, place < known) for place, result in enumerate(RESULTS)]
    assert evaluated == ASKED[known:]
    assert [line["score"] for line in read_lines_of(run / "history.jsonl")] == [0, 1, 2, 3, 4]


def test_each_stage_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    for _ in range(2):
        history, evaluate = History(tmp_path), Evaluating()
        for stage, asked in (("search", ASKED[:3]), ("re-ranking", ASKED[1:3]), ("search", ASKED[3:])):
            assert [result.evaluation for result, _ in history.fill(stage, asked, evaluate)] == asked
        assert history.num_left == 0
        history.close()
    # In the second process nothing is new.
    assert evaluate.asked == []
    assert [line["stage"] for line in read_lines_of(tmp_path / "history.jsonl")] == [
        *["search"] * 3,
        *["re-ranking"] * 2,
        *["search"] * 2,
    ]


def test_a_recorded_training_is_asked_for_again_as_its_weights_are_needed_and_recorded_once(tmp_path: Path) -> None:
    trainings = [replace(asked, fidelity=share) for share in (0.5, 1.0) for asked in ASKED[:2]]
    first, evaluated = fill(tmp_path, "final training", trainings[:3])
    assert evaluated == trainings[:3]
    again, evaluated = fill(tmp_path, "final training", trainings)
    assert evaluated == trainings
    assert [known for _, known in again] == [True, True, True, False]
    assert [result for result, _ in again[:3]] == [result for result, _ in first]
    lines = read_lines_of(tmp_path / "history.jsonl")
    assert [(line["id"], line["fidelity"]) for line in lines] == [
        (item.candidate.id, item.fidelity) for item in trainings
    ]


def test_the_clock_of_a_search_goes_on_from_its_last_line_whatever_follows(tmp_path: Path) -> None:
    trained = [replace(asked, fidelity=1.0) for asked in ASKED[:3]]
    history = History(tmp_path)
    assert history.last_clock == 0.0
    for clock, asked in zip((2.0, 5.5, None), trained, strict=True):
        result = replace(Result.of_training(asked, training_of([0.5], 10, False, True)), clock=clock)
        history.add("final training" if clock is None else "search", result)
    history.close()
    history = History(tmp_path)
    assert history.last_clock == 5.5
    assert (history.num_of("search"), history.num_of("final training")) == (2, 1)
    history.close()
    drop_after(tmp_path, "search")
    assert [line["clock"] for line in read_lines_of(tmp_path / "history.jsonl")] == [2.0, 5.5]


@pytest.mark.parametrize(
    ("stage", "asked"),
    [
        ("re-ranking", ASKED[0]),
        ("search", ASKED[1]),
        ("search", replace(ASKED[0], fidelity=0.5)),
        ("search", Evaluation(Candidate(Baseline("a"), replace(RECIPE, epochs=2)))),
    ],
)
def test_another_evaluation_in_its_place_is_refused_in_one_line(tmp_path: Path, stage: str, asked: Evaluation) -> None:
    fill(tmp_path, "search", ASKED[:2])
    before = (tmp_path / "history.jsonl").read_bytes()
    with pytest.raises(
        InputError, match=r"history\.jsonl:1: search, a-\w+, 0.0 where this run asks for .*; remove this line and those"
    ) as refused:
        fill(tmp_path, stage, [asked])
    assert f"asks for {stage}, {asked.candidate.id}, {asked.fidelity}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "history.jsonl").read_bytes() == before


def test_without_regard_to_order_what_is_held_is_found_wherever_it_stands_and_recorded_once(tmp_path: Path) -> None:
    trained = [replace(asked, fidelity=1.0) for asked in ASKED]
    fill(tmp_path, "search", ASKED)
    fill(tmp_path, "search", [*ASKED, trained[1], trained[3]])
    before = (tmp_path / "history.jsonl").read_text()
    history = History(tmp_path)
    history.disregard_order()
    assert history.num_left == 0
    assert [known for _, known in history.fill("search", ASKED[3:], Evaluating())] == [True, True]
    evaluate = Evaluating()
    filled = list(history.fill("search", [trained[3], trained[2], trained[1]], evaluate))
    assert [known for _, known in filled] == [True, False, True]
    # Their weights are needed.
    assert [result.evaluation for result, _ in filled] == evaluate.asked == [trained[3], trained[2], trained[1]]
    assert [known for _, known in history.fill("re-ranking", ASKED[:1], Evaluating())] == [False]
    history.close()
    after = (tmp_path / "history.jsonl").read_text()
    assert after.startswith(before)
    assert [
        (line["stage"], line["id"], line["fidelity"]) for line in read_lines_of(tmp_path / "history.jsonl")[7:]
    ] == [
        ("search", trained[2].candidate.id, 1.0),
        ("re-ranking", ASKED[0].candidate.id, 0.0),
    ]


def test_only_what_is_of_one_stage_may_be_left_to_be_found_in_any_order(tmp_path: Path) -> None:
    fill(tmp_path, "search", ASKED[:2])
    history = History(tmp_path)
    with pytest.raises(InputError, match=r"history\.jsonl:1: search, a-\w+, 0.0 where this run asks for final; remove"):
        history.disregard_order("final")
    history.close()


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "{}",
        '{"id": "a-1", "stage": "search", "fidelity": 0, "score": 1}',
        '{"id": "a-1", "stage": "search", "fidelity": 0, "score": 1, "seconds": -1}',
        '{"id": "a-1", "stage": "search", "fidelity": 0, "score": 1, "seconds": 1, "proxies": {"zico": "x"}}',
        '{"id": "a-1", "stage": "search", "fidelity": 1, "score": 1, "seconds": 1, "training": {"epochs": []}}',
    ],
)
def test_a_damaged_line_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    fill(tmp_path, "search", ASKED[:3])
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    (tmp_path / "history.jsonl").write_text("\n".join([lines[0], line, lines[2], ""]))
    with pytest.raises(InputError, match=r"history\.jsonl:2: ") as refused:
        fill(tmp_path, "search", ASKED)
    assert "\n" not in str(refused.value)


def test_a_process_that_ends_while_it_evaluates_has_recorded_what_came_before(tmp_path: Path) -> None:
    def ending(evaluations: list[Evaluation]) -> Iterator[Result]:
        yield from RESULTS[:2]
        raise KeyboardInterrupt

    history = History(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(history.fill("search", ASKED, ending))
    history.close()
    assert [line["score"] for line in read_lines_of(tmp_path / "history.jsonl")] == [0, 1]


@given(
    scores=st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=4),
    proxy=st.floats(allow_nan=False),
    training=TRAININGS,
)
def test_a_result_is_read_as_it_was_whatever_its_figures(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float | None], proxy: float, training: Training
) -> None:
    run = tmp_path_factory.mktemp("history")
    results = [
        Result(asked, score, 0.5, {"zico": proxy, "fr": -math.inf}) for asked, score in zip(ASKED, scores, strict=False)
    ]
    results.append(Result.of_training(replace(ASKED[0], fidelity=1.0), training))
    asked = [result.evaluation for result in results]

    def evaluate(new: list[Evaluation]) -> Iterator[Result]:
        yield from results[-len(new) :]

    for _ in range(2):
        history = History(run)
        assert [result for result, _ in history.fill("search", asked, evaluate)] == results
        history.close()
    assert [line["id"] for line in read_lines_of(run / "history.jsonl")] == [item.candidate.id for item in asked]
