"""What may be built: architectures as values, the spaces they come from, and what they cost. Needs no torch."""

from recnas.space.architecture import Architecture, Live
from recnas.space.block import Block
from recnas.space.grammar_space import GrammarSpace
from recnas.space.search_space import PATIENCE, SPACES, SearchSpace, check_space_name

__all__ = ["PATIENCE", "SPACES", "Architecture", "Block", "GrammarSpace", "Live", "SearchSpace", "check_space_name"]
