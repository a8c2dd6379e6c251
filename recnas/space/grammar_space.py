"""The space of a grammar's networks: drawn by its rules, and changed by growing parts of a derivation anew."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from recnas.space.architecture import UNREAD, Architecture
from recnas.space.block import Block
from recnas.space.choices import NOTHING, BlockChoices, Choice, OneOf, OneOperator, Subset
from recnas.space.grammar import Grammar, Term, Tree
from recnas.space.operators import OPERANDS, OPERATORS, SPARSE, read_by
from recnas.space.search_space import PATIENCE, SPACES, Place, SearchSpace
from recnas.util.errors import InputError

NO_BLOCK = Block((), (), 0, 0)
"""In the place of a block that a network has not."""


class Node(NamedTuple):
    """A place in a derivation.

    Attributes:
        path: The places of children that lead there from the top.
        tree: What stands there.
        times: How often that is in the network.
    """

    path: tuple[int, ...]
    tree: Tree
    times: int


@dataclass(frozen=True, kw_only=True)
class GrammarSpace(SearchSpace):
    """The networks that a grammar derives with so many blocks at most (Schrodi et al. 2023).

    An architecture remembers its derivation. `blocks` is no table of choices here: it says what a supernet needs, and
    how an architecture is written as numbers, whatever the grammar.

    Attributes:
        grammar: Its rules.

    Example:
        >>> space = GrammarSpace.of("chains", "NET -> fc(16) | fc(64) | sequence(fc(64), NET)", blocks=4)
        >>> space.mutate(space.sample(random.Random(0)), random.Random(1)) in space
        True
    """

    has_table: ClassVar[bool] = False

    grammar: Grammar

    @classmethod
    def of(cls, name: str, rules: str, blocks: int) -> GrammarSpace:
        """Reads a grammar.

        Args:
            name: As users call the space.
            rules: The rules; see `recnas.space.grammar`.
            blocks: The most blocks of a network.

        Raises:
            InputError: They are no grammar, or its smallest network has more blocks.
        """
        grammar = Grammar.parse(rules)
        if (least := grammar.least[grammar.start]) > blocks:
            raise InputError(f"grammar: its smallest network has {least} blocks, where {blocks} are the most")
        terms = [
            term for alternatives in grammar.rules.values() for whole in alternatives for term in _all_terms(whole)
        ]
        used = sorted({(term.name, term.number or 1) for term in terms if term.name in OPERATORS})
        sparse, dense = (
            [item for item in used if (OPERATORS[item[0]].side == SPARSE) is side] for side in (True, False)
        )
        choices = (_choices(index, dense, sparse) for index in range(1, blocks + 1))
        return cls(name, tuple(choices), logit=UNREAD, grammar=grammar)

    @property
    def most(self) -> int:
        """The most blocks of a network."""
        return len(self.blocks)

    def table(self) -> dict[Place, Choice]:
        """There is none, as choices depend on each other.

        Raises:
            InputError: Always.
        """
        raise InputError(f"search space {self.name}: a grammar has rules and no table of choices")

    def made(self, tree: Tree) -> Architecture:
        """The network of a derivation, with no block in the places that it leaves."""
        blocks = self.grammar.blocks(tree)
        padded = (*blocks, *[NO_BLOCK] * (self.most - len(blocks)))
        return Architecture(padded, logit=UNREAD, derivation=tree.choices())

    def tree(self, arch: Architecture) -> Tree:
        """The derivation of an architecture of the space.

        Raises:
            ValueError: It is none.
        """
        if (tree := self.grammar.tree(arch.derivation, self.most)) is None:
            raise ValueError(f"{arch.id} is no network of {self.name}")
        return tree

    def first(self) -> Architecture:
        return self.made(self._least(self.grammar.start))

    def sample(self, rng: random.Random) -> Architecture:
        """Draws each rule's alternative, from left to right, of those that there is room for."""
        return self.made(self._grown(self.grammar.start, self.most, rng))

    def smallest(self, cost: Callable[[Architecture], float]) -> Architecture:
        """A network that no change of one rule makes cheaper, found from the one of the fewest blocks downhill."""
        found, price = self.first(), cost(self.first())
        while True:
            options = [(cost(arch), place, arch) for place, arch in enumerate(self.neighbours(found))]
            least, _, arch = min(options, default=(price, 0, found))
            if least >= price:
                return found
            found, price = arch, least

    def mutate(self, arch: Architecture, rng: random.Random, count: int = 1) -> Architecture:
        """Draws `count` times a place in the derivation, and grows what stands there anew."""
        tree = self.tree(arch)
        for _ in range(count):
            node = rng.choice(self._nodes(tree))
            tree = _put(tree, node.path, self._grown(node.tree.rule, self._room(tree, node), rng))
        return self.made(tree)

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """The first architecture with a part of the second, in the place of one that the same rule made.

        Of parts for which there is no room none is taken; where none is left, it is the first architecture.
        """
        tree, other = self.tree(first), self.tree(second)
        pairs = [
            (node, given)
            for node in self._nodes(tree)
            for given in self._nodes(other)
            if given.tree.rule == node.tree.rule and given.tree != node.tree
            if self.grammar.count(given.tree) <= self._room(tree, node)
        ]
        if not pairs:
            return first
        node, given = rng.choice(pairs)
        return self.made(_put(tree, node.path, given.tree))

    def neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """Every architecture in which one rule took another alternative.

        What the names in it become stays where the same name was there before, and is the smallest where not.
        """
        tree = self.tree(arch)
        for node in self._nodes(tree):
            for choice in range(len(self.grammar.rules[node.tree.rule])):
                if choice != node.tree.choice:
                    grown = self._with_choice(node.tree, choice)
                    if self.grammar.count(grown) <= self._room(tree, node):
                        yield self.made(_put(tree, node.path, grown))

    def encode(self, arch: Architecture) -> list[float]:
        """A network as numbers from 0 to 1, as many for each: what every block is and reads, in canonical order."""
        arch, numbers = arch.canonical(), []
        for block, choices in zip(arch.blocks, self.blocks, strict=True):
            for name, choice in choices.items():
                if choice.free:
                    numbers += choice.encode(getattr(block, name))
        return numbers

    def pull(
        self,
        arch: Architecture,
        towards: Architecture,
        affordable: Callable[[Architecture], bool],
        rng: random.Random,
    ) -> Architecture:
        """Makes parts of a derivation the smallest that their rule allows, one after the other, until it is affordable.

        Where that does not help, it is `towards`; arguments as in `SearchSpace.pull`.
        """
        tree = self.tree(arch)
        for _ in range(PATIENCE):
            node = rng.choice(self._nodes(tree))
            tree = _put(tree, node.path, self._grown(node.tree.rule, self.grammar.least[node.tree.rule], rng))
            if affordable(arch := self.made(tree)):
                return arch
        return towards

    def size(self) -> int:
        """The number of derivations. Many are the same network: see `Architecture.canonical`."""
        counts = {name: [0] * (self.most + 1) for name in self.grammar.rules}
        while True:
            found = {
                name: [sum(column) for column in zip(*(self._counts(term, counts) for term in terms), strict=True)]
                for name, terms in self.grammar.rules.items()
            }
            if found == counts:
                return sum(counts[self.grammar.start])
            counts = found

    def __contains__(self, arch: object) -> bool:
        if not isinstance(arch, Architecture) or len(arch.blocks) != self.most:
            return False
        tree = self.grammar.tree(arch.derivation, self.most)
        return tree is not None and self.made(tree) == arch

    def _nodes(self, tree: Tree) -> list[Node]:
        """All places in a derivation."""
        nodes, waiting = [], [Node((), tree, 1)]
        while waiting:
            nodes.append(node := waiting.pop())
            names = self.grammar.names(self.grammar.term(node.tree))
            for place, ((_, times), child) in enumerate(zip(names, node.tree.children, strict=True)):
                waiting.append(Node((*node.path, place), child, node.times * times))
        return nodes

    def _room(self, tree: Tree, node: Node) -> int:
        """How many blocks a part may have."""
        own = self.grammar.count(node.tree)
        return (self.most - self.grammar.count(tree) + node.times * own) // node.times

    def _grown(self, rule: str, room: int, rng: random.Random) -> Tree:
        """What a name becomes, with so many blocks at most; there is room for the fewest."""
        fewest = [self.grammar.fewest(term) for term in self.grammar.rules[rule]]
        choice = rng.choice([choice for choice, count in enumerate(fewest) if count <= room])
        spare, children = room - fewest[choice], []
        for name, times in self.grammar.names(self.grammar.rules[rule][choice]):
            least = self.grammar.least[name]
            children.append(self._grown(name, least + spare // times, rng))
            spare -= times * (self.grammar.count(children[-1]) - least)
        return Tree(rule, choice, tuple(children))

    def _least(self, rule: str) -> Tree:
        """The first of the alternatives with the fewest blocks, in every place."""
        fewest = [self.grammar.fewest(term) for term in self.grammar.rules[rule]]
        choice = fewest.index(min(fewest))
        return Tree(rule, choice, tuple(self._least(name) for name, _ in self._names(rule, choice)))

    def _with_choice(self, tree: Tree, choice: int) -> Tree:
        left, children = list(tree.children), []
        for name, _ in self._names(tree.rule, choice):
            kept = next((child for child in left if child.rule == name), None)
            if kept is not None:
                left.remove(kept)
            children.append(self._least(name) if kept is None else kept)
        return Tree(tree.rule, choice, tuple(children))

    def _names(self, rule: str, choice: int) -> Iterator[tuple[str, int]]:
        return self.grammar.names(self.grammar.rules[rule][choice])

    def _counts(self, term: Term, of_names: dict[str, list[int]]) -> list[int]:
        """How many derivations a term has of 0, 1, 2 … blocks."""
        counts = [0] * (self.most + 1)
        if (own := self.grammar.own_blocks(term)) <= self.most:
            counts[own] = 1
        for name, times in self.grammar.names(term):
            more = [0] * (self.most + 1)
            for blocks, count in enumerate(counts):
                for part in range((self.most - blocks) // times + 1):
                    more[blocks + times * part] += count * of_names[name][part]
            counts = more
        return counts


def hierarchical() -> GrammarSpace:
    """Towers of stages of cells of layers: each level puts parts of the one below after or beside each other, again
    and again or around a skip connection; a factorisation machine may stand beside all."""
    return GrammarSpace.of("hierarchical", HIERARCHICAL, blocks=8)


HIERARCHICAL = """
NETWORK -> BODY | sequence(FIELDS, BODY)
BODY    -> TOWER | parallel(TOWER, TOWER) | parallel(TOWER, fm) | parallel(TOWER, TOWER, fm)
TOWER   -> STAGE | sequence(STAGE, STAGE) | sequence(STAGE, STAGE, STAGE)
STAGE   -> CELL | residual(CELL) | repeat(2, CELL) | repeat(3, CELL) | residual(repeat(2, CELL))
CELL    -> LAYER | sequence(LAYER, LAYER) | parallel(LAYER, LAYER) | sequence(FIELDS, LAYER) | parallel(FIELDS, LAYER)
FIELDS  -> efc(16) | efc(32) | efc(48) | efc(64) | attention(16) | attention(32)
LAYER   -> fc(32) | fc(64) | fc(128) | fc(256) | fc(512) | dot-product(64) | dot-product(128) | dot-product(256)
         | factorized(64) | factorized(256) | mask(64) | mask(256)
"""

SPACES["hierarchical"] = hierarchical


def _put(tree: Tree, path: Sequence[int], part: Tree) -> Tree:
    """A derivation with another part in a place."""
    if not path:
        return part
    first, *rest = path
    children = list(tree.children)
    children[first] = _put(children[first], rest, part)
    return replace(tree, children=tuple(children))


def _all_terms(term: Term) -> Iterator[Term]:
    yield term
    for part in term.parts:
        yield from _all_terms(part)


def _choices(index: int, dense: list[tuple[str, int]], sparse: list[tuple[str, int]]) -> BlockChoices:
    """All that a block of a network may be, in the `index`-th place, given the operators and their widths."""
    earlier = tuple(range(index))
    operand = OneOf((None, *earlier)) if OPERANDS in read_by(name for name, _ in dense) else NOTHING
    return BlockChoices(
        dense_operators=OneOperator(tuple(dict.fromkeys(name for name, _ in dense))),
        sparse_operators=OneOperator(tuple(dict.fromkeys(name for name, _ in sparse))),
        dense_width=OneOf(tuple(sorted({0} | {width for _, width in dense})), ordered=True),
        sparse_width=OneOf(tuple(sorted({0} | {width for _, width in sparse})), ordered=True),
        dense_inputs=Subset(earlier, range(index + 1)),
        sparse_inputs=Subset(earlier, range(index + 1)),
        left=operand,
        right=operand,
        dense_to_sparse=OneOf((False,)),
        fm=OneOf((False,)),
    )
