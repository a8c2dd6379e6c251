"""Which models `results.json` calls the best."""

import copy

from recnas.runs.results import current


def model_of(id_: str, kind: str, log_loss: float | None) -> dict:
    status = "diverged" if log_loss is None else "trained"
    return {"id": id_, "kind": kind, "status": status, "validation": log_loss and {"log_loss": log_loss, "auc": 0.5}}


def test_the_best_of_a_run_of_before_is_the_best_of_all_its_models() -> None:
    models = [model_of("a", "searched", 0.5), model_of("b", "searched", 0.6), model_of("dlrm", "baseline", 0.4)]
    diverged = model_of("c", "searched", None)
    before = {"best": "a", "models": [diverged, *models]}
    assert current(before) == before | {"best": "dlrm", "best_searched": "a"}
    now = before | {"best": "b", "best_searched": "b"}
    assert current(now) == now
    assert current({"models": [diverged]}) == {"models": [diverged]}


def test_names_of_before_are_read_as_those_of_now_and_what_was_read_is_left_as_it_was() -> None:
    before = {
        "best_searched": "a",
        "models": [model_of("a", "found", 0.5) | {"flops": 9}, model_of("dlrm", "baseline", 0.4) | {"flops": 8}],
        "search": {"candidates": 2, "shortlist": {"a": 1.5}},
    }
    now = {
        "best_searched": "a",
        "models": [model_of("a", "searched", 0.5) | {"macs": 9}, model_of("dlrm", "baseline", 0.4) | {"macs": 8}],
        "search": {"candidates": 2, "reranked": {"a": 1.5}},
    }
    original = copy.deepcopy(before)
    assert current(before) == now
    assert before == original
    assert current(now) == now
    # Baselines alone have no search.
    assert current(now | {"search": None}) == now | {"search": None}
