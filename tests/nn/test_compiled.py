"""What compiled loops are made of."""

import numpy as np
import pytest
from numba.core import caching

from recnas.nn import row_kernels
from recnas.nn.compiled import in_threads, jit


def test_loops_run_where_nothing_can_be_kept_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    # Not those that this process has compiled.
    loops = row_kernels.kernels.__wrapped__(True, False, False, True)
    table, second = np.full((2, 4), 2.0, np.float32), np.array([[0.25] * 4, [0] * 4], np.float32)
    loops.settle(table, second, np.zeros(2, np.float32), np.zeros(2), 0.5, 3.0, 0.0, row_kernels.corrections(0.5))
    # exp(-0.5 · 3 / √0.25) of the row that has learned.
    np.testing.assert_allclose(table, [[2 * np.exp(-3)] * 4, [2] * 4], rtol=1e-6)
    assert jit(lambda x: 2 * x)(3) == 6


def test_a_loop_in_threads_gives_what_its_parts_give_in_their_order() -> None:
    assert in_threads(lambda first, stop: range(first, stop), [0, 2, 2, 7]) == [range(0, 2), range(2, 2), range(2, 7)]

    def fail(first: int, stop: int) -> None:
        if stop == 7:
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        in_threads(fail, [0, 2, 7])


def test_bias_corrections_are_those_of_as_many_updates() -> None:
    for beta in (0.0, 0.9, 0.999):
        found = row_kernels.corrections(beta)
        for count in (1, 2, 100, int(row_kernels.NO_MORE)):
            assert found[count] == pytest.approx(1 / (1 - beta**count), rel=1e-6)
    assert found[-1] == 1
