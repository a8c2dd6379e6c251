"""`proxies.jsonl`, as a resumed run and a report read it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from recnas.runs.folder import PROXIES
from recnas.runs.proxy_values import ProxyValues, read_proxy_values
from recnas.util.errors import InputError

LINES: list[dict[str, Any]] = [
    {"id": "a", "values": {"zico": 1.5, "jacov": None}, "seconds": 0.25},
    {"used": ["zico"], "since": 12},
    {"id": "a", "values": {"macs": 7.0}, "seconds": 0.5},
    {"used": ["zico", "jacov"], "since": 16},
    {"used": ["jacov"], "since": 23},
    {"used": ["zico", "jacov"], "since": 34},
]


def test_lines_of_a_candidate_add_up_and_what_is_unknown_is_nan(tmp_path: Path) -> None:
    assert read_proxy_values(tmp_path) == (ProxyValues(), None)
    whole = "".join(json.dumps(line) + "\n" for line in LINES)
    (tmp_path / PROXIES).write_text(whole + '{"id": "b", "val')
    found, cut = read_proxy_values(tmp_path)
    assert cut == len(whole)
    assert found.values["a"] == pytest.approx({"zico": 1.5, "jacov": math.nan, "macs": 7.0}, nan_ok=True)
    assert set(found.values) == {"a"}
    assert found.seconds == 0.75
    assert found.lines == len(LINES)


def test_a_proxy_is_used_from_a_candidate_to_another() -> None:
    found = ProxyValues.of(LINES)
    assert found.spans("zico") == [(12, 22), (34, None)]
    assert found.spans("jacov") == [(16, None)]
    assert found.spans("macs") == []


@pytest.mark.parametrize(
    "line", ['{"id": "a"}', '{"used": "zico", "since": 3}', '{"id": "a", "values": {"zico": "x"}}']
)
def test_a_damaged_line_is_told(line: str, tmp_path: Path) -> None:
    (tmp_path / PROXIES).write_text(line + "\n")
    with pytest.raises(InputError, match=r"proxies\.jsonl:1: damaged"):
        read_proxy_values(tmp_path)
