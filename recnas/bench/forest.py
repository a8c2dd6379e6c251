"""Boosted trees as flat arrays: what many of them say of one candidate is told at once, where LightGBM takes long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import lightgbm


class Forest:
    """Several boosters that read the same numbers, of which none is missing.

    Args:
        columns: What each node compares, `[N]`; -1 of a leaf.
        values: With what, or what the leaf says, `[N]` float64.
        children: Of each node, if the number is at most the value and if it is above, `[N, 2]`; of a leaf itself.
        roots: Of the trees, `[T]`.
        starts: The place of each booster's first tree, `[boosters]`.
        depth: Of the deepest tree.
    """

    def __init__(
        self,
        columns: np.ndarray,
        values: np.ndarray,
        children: np.ndarray,
        roots: np.ndarray,
        starts: np.ndarray,
        depth: int,
    ) -> None:
        # A leaf goes on to itself, whatever it compares.
        self._columns = np.maximum(columns, 0)
        self._values, self._children, self._roots, self._starts = values, children, roots, starts
        self._depth = depth

    @classmethod
    def of(cls, boosters: Sequence[lightgbm.Booster]) -> Self:
        """That of boosters without categories."""
        nodes: list[tuple[int, float, int, int]] = []
        roots, starts, depth = [], [], 0
        for booster in boosters:
            starts.append(len(roots))
            for tree in booster.dump_model()["tree_info"]:
                roots.append(len(nodes))
                depth = max(depth, _add(nodes, tree["tree_structure"]))
        columns, values, left, right = zip(*nodes, strict=True)
        children = np.column_stack([left, right])
        return cls(np.array(columns), np.array(values), children, np.array(roots), np.array(starts), depth)

    def predict(self, point: np.ndarray) -> np.ndarray:
        """What each booster says of one candidate, `[boosters]`.

        Args:
            point: Its numbers, `[columns]`.
        """
        places = self._roots
        for _ in range(self._depth):
            above = (point[self._columns[places]] > self._values[places]).astype(np.int64)
            places = self._children[places, above]
        return np.add.reduceat(self._values[places], self._starts)


def _add(nodes: list[tuple[int, float, int, int]], node: Mapping[str, Any]) -> int:
    """Adds a node with all below it; gives how deep these go."""
    place = len(nodes)
    if "leaf_value" in node:
        nodes.append((-1, float(node["leaf_value"]), place, place))
        return 0
    nodes.append((0, 0.0, 0, 0))
    left = len(nodes)
    depth = _add(nodes, node["left_child"])
    right = len(nodes)
    depth = max(depth, _add(nodes, node["right_child"]))
    nodes[place] = (int(node["split_feature"]), float(node["threshold"]), left, right)
    return depth + 1
