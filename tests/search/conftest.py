"""What the tests of a whole search share."""

from tests.searches import data, small

__all__ = ["data", "small"]
