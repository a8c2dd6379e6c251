"""Random numbers that are functions of a name and a row's number: the same on any machine, in chunks of any size."""

import hashlib
import math

import numpy as np

from recnas.features.raw_values import mixed


def key_of(name: str) -> np.uint64:
    """Where the numbers of a name begin."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


def bits_of(key: np.uint64 | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """`[N]` uint64: the n-th numbers of SplitMix64 begun at `key`, for each n of `numbers`."""
    return mixed(key + (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


def uniform_of(key: np.uint64, numbers: np.ndarray) -> np.ndarray:
    """`[N]` in [0, 1)."""
    return (bits_of(key, numbers) >> np.uint64(11)) * 2.0**-53


def normal_of(bits: np.ndarray) -> np.ndarray:
    """About normal, mean 0 and variance 1: the sum of the four quarters of 64 bits."""
    halves = np.uint64(0x0000FFFF0000FFFF)
    sums = (bits & halves) + (bits >> np.uint64(16) & halves)
    total = (sums & np.uint64(0xFFFFFFFF)) + (sums >> np.uint64(32))
    return (total.astype(np.float64) - 2 * 65535) / (65536 / math.sqrt(3))


def zipf_of(uniform: np.ndarray, size: int) -> np.ndarray:
    """Numbers 1 … size as uint64, of which k is drawn about as often as k^(-9/8).

    The inverse of the distribution needs only roots and products, which every machine rounds alike.
    """
    least = 1 / math.sqrt(math.sqrt(math.sqrt(size + 1)))
    root = 1 - uniform * (1 - least)
    power = root * root
    power *= power
    power *= power
    return np.minimum(1 / power, size).astype(np.uint64)
