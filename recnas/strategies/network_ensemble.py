"""An ensemble of small networks that are fitted in milliseconds; how much they disagree says how sure they are."""

from __future__ import annotations

import numpy as np

MEMBERS = 10
"""Networks."""
HIDDEN = 64
"""Hidden units of each."""
RIDGES = tuple(10.0**power for power in range(-3, 4))
"""Penalties of the output layer, of which the one is taken that leaves the smallest error on points left out."""


class NetworkEnsemble:
    """Networks of one hidden layer beside a linear part, of which only the output layer is learned.

    The hidden layers stay as they were drawn (Huang et al. 2006), so that a network is a ridge regression, solved in
    one step. Each is fitted to another sample of the points, with replacement, by the same penalty.

    Args:
        points: `[N, D]`, what is known.
        values: `[N]`, what each came to.
        rng: The source of hidden layers and samples.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> None:
        self._mean, spread = points.mean(0), points.std(0)
        # What never varied says nothing, and would say much where it does.
        self._scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
        self._level = values.mean()
        scaled = self._scaled(points)
        width = max(1, points.shape[1])
        self._hidden = rng.normal(0.0, 1 / np.sqrt(width), (MEMBERS, width, HIDDEN))
        self._bias = rng.normal(0.0, 1.0, (MEMBERS, 1, HIDDEN))
        features = self._features(scaled)
        ridge = _best_ridge(np.concatenate(features, axis=1) / np.sqrt(MEMBERS), values - self._level)
        drawn = rng.integers(len(points), size=(MEMBERS, len(points)))
        self._output = np.stack(
            [_ridge(own[rows], values[rows] - self._level, ridge) for own, rows in zip(features, drawn, strict=True)]
        )

    def predict(self, points: np.ndarray) -> np.ndarray:
        """`[members, N]`: what each expects of some points `[N, D]`."""
        return self._level + np.einsum("mnf,mf->mn", self._features(self._scaled(points)), self._output)

    def _scaled(self, points: np.ndarray) -> np.ndarray:
        return (points - self._mean) * self._scale

    def _features(self, scaled: np.ndarray) -> np.ndarray:
        """`[members, N, D + HIDDEN]`: the points themselves, and the hidden units, of the same weight together."""
        hidden = np.maximum(scaled @ self._hidden + self._bias, 0.0) / np.sqrt(HIDDEN)
        linear = np.broadcast_to(scaled / np.sqrt(scaled.shape[1]), (MEMBERS, *scaled.shape))
        return np.concatenate([linear, hidden], axis=2)


def _ridge(features: np.ndarray, values: np.ndarray, ridge: float) -> np.ndarray:
    """The weights of a ridge regression, by its dual form: there are more features than points."""
    kernel = features @ features.T
    return features.T @ np.linalg.solve(kernel + ridge * np.eye(len(values)), values)


def _best_ridge(features: np.ndarray, values: np.ndarray) -> float:
    """The penalty of the smallest squared error on points left out one at a time."""
    eigenvalues, vectors = np.linalg.eigh(features @ features.T)
    turned = vectors.T @ values
    errors = []
    for ridge in RIDGES:
        shrunk = 1 / (np.maximum(eigenvalues, 0.0) + ridge)
        # Of a ridge regression the error on a point left out follows from the fit to all of them.
        left_out = (vectors @ (shrunk * turned)) / ((vectors**2) @ shrunk)
        errors.append(float((left_out**2).mean()))
    return RIDGES[int(np.argmin(errors))]
