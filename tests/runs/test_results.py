"""Which models `results.json` calls the best."""

from recnas.runs.results import with_best


def _model(id: str, kind: str, log_loss: float | None) -> dict:
    status = "diverged" if log_loss is None else "trained"
    return {"id": id, "kind": kind, "status": status, "validation": log_loss and {"log_loss": log_loss, "auc": 0.5}}


def test_the_best_of_a_run_of_before_is_the_best_of_all_its_models() -> None:
    models = [_model("a", "found", 0.5), _model("b", "found", 0.6), _model("dlrm", "baseline", 0.4)]
    diverged = _model("c", "found", None)
    before = {"best": "a", "models": [diverged, *models]}
    assert with_best(before) == before | {"best": "dlrm", "best_searched": "a"}
    now = before | {"best": "b", "best_searched": "b"}
    assert with_best(now) == now
    assert with_best({"models": [diverged]}) == {"models": [diverged]}
