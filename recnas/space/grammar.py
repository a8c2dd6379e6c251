"""Context-free grammars whose sentences are networks (Schrodi et al. 2023), as rules that are read from text.

A rule says what a name may become. What is no name of a rule puts networks together, or is an operator with its width:

    NETWORK -> STAGE | parallel(STAGE, STAGE)
    STAGE   -> LAYER | residual(LAYER) | repeat(2, LAYER) | sequence(STAGE, LAYER)
    LAYER   -> fc(64) | fc(256) | efc(32) | fm

A network reads some dense and some sparse outputs, at first the stem's, and leaves others in their place. An operator
reads those of the kinds that it reads, and leaves its output in the place of those of its own kind. `sequence` puts one
after the other; `parallel` has all read the same, and leaves what each leaves; `residual` leaves what it reads, too;
`repeat` puts so many equal ones, each with weights of its own, after each other. The logit reads what no block reads,
so that `residual` means nothing at the very end.

As published are grammars for networks, drawing and changing by production rules, and exchanging subtrees; published
sentences are chains of images' cells, and their functions others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from recnas.space.architecture import MOST_BLOCKS, MOST_WIDTH
from recnas.space.block import Block
from recnas.space.operators import DENSE, DENSE_INPUTS, OPERANDS, OPERATORS, SPARSE_INPUTS
from recnas.util.documents import shortened
from recnas.util.errors import InputError

SEQUENCE, PARALLEL, RESIDUAL, REPEAT = "sequence", "parallel", "residual", "repeat"
FUNCTIONS = (SEQUENCE, PARALLEL, RESIDUAL, REPEAT)
_TOKEN = re.compile(r"\s*(?:#[^\n]*|([A-Za-z_]\w*(?:[.:-]\w+)*|\d+|->|[(),|]))")


@dataclass(frozen=True)
class Term:
    """A part of what a rule may become.

    Attributes:
        name: Of a rule, of one of `FUNCTIONS`, or of an operator.
        number: How often `repeat` repeats, or the width of an operator's output; None for others.
        parts: What a function puts together.
    """

    name: str
    number: int | None = None
    parts: tuple[Term, ...] = ()

    @property
    def times(self) -> int:
        """How often its parts are there."""
        return self.number if self.name == REPEAT else 1


@dataclass(frozen=True)
class Tree:
    """A derivation: what a rule's name became.

    Attributes:
        rule: The name.
        choice: Which of the rule's alternatives was taken.
        children: What the names in it became, from left to right.
    """

    rule: str
    choice: int
    children: tuple[Tree, ...] = ()

    def choices(self) -> tuple[int, ...]:
        """The alternatives taken, this one first, then those of the children, from left to right."""
        return (self.choice, *(choice for child in self.children for choice in child.choices()))


@dataclass(frozen=True)
class Grammar:
    """Rules, each with its alternatives; sentences begin with the first one.

    Raises:
        InputError: A term is none that there is, a rule never ends, or can become itself without an operator more.

    Example:
        >>> grammar = Grammar.parse("NET -> fc(16) | sequence(fc(16), NET)")
        >>> [block.dense_inputs for block in grammar.blocks(Tree("NET", 1, (Tree("NET", 0),)))]
        [(0,), (1,)]
    """

    rules: Mapping[str, tuple[Term, ...]]
    least: Mapping[str, int] = field(init=False, compare=False, repr=False)
    """The fewest blocks that each name may become."""

    def __post_init__(self) -> None:
        if not self.rules:
            raise InputError("grammar: no rule is given; one is written as NAME -> this | that")
        for name, alternatives in self.rules.items():
            if name in OPERATORS or name in FUNCTIONS:
                raise InputError(f"grammar: the rule {name} has the name of an operator or a function; take another")
            for term in alternatives:
                self._check(name, term)
        object.__setattr__(self, "least", self._fewest())
        self._check_growth()

    @classmethod
    def parse(cls, text: str) -> Grammar:
        """Reads rules. A rule ends where the next begins; what follows `#` on a line is a remark.

        Raises:
            InputError: It is not written as rules are, or its rules are no grammar.
        """
        return cls(_Reader(text).rules())

    @property
    def start(self) -> str:
        """The name that sentences begin with."""
        return next(iter(self.rules))

    def term(self, tree: Tree) -> Term:
        """What was taken."""
        return self.rules[tree.rule][tree.choice]

    def names(self, term: Term, times: int = 1) -> Iterator[tuple[str, int]]:
        """The names of rules in a term, from left to right, and how often what they become is there."""
        if term.name in self.rules:
            yield term.name, times
        for part in term.parts:
            yield from self.names(part, times * term.times)

    def own_blocks(self, term: Term, times: int = 1) -> int:
        """How many operators a term has itself."""
        if term.name in OPERATORS:
            return times
        return sum(self.own_blocks(part, times * term.times) for part in term.parts)

    def count(self, tree: Tree) -> int:
        """How many blocks a derivation has."""
        term = self.term(tree)
        names = self.names(term)
        return self.own_blocks(term) + sum(
            times * self.count(child) for (_, times), child in zip(names, tree.children, strict=True)
        )

    def tree(self, choices: Sequence[int], most: int) -> Tree | None:
        """The derivation that takes these alternatives, as `Tree.choices` has them; None where there is none.

        Args:
            choices: The alternatives.
            most: The most blocks that it may have.
        """
        left = iter(choices)

        def read(rule: str, depth: int) -> Tree:
            choice = next(left)
            # Within so many steps a name has come twice, and with it a block.
            if not 0 <= choice < len(self.rules[rule]) or depth > (most + 1) * len(self.rules):
                raise StopIteration
            children = [read(name, depth + 1) for name, _ in self.names(self.rules[rule][choice])]
            return Tree(rule, choice, tuple(children))

        try:
            found = read(self.start, 0)
        except StopIteration:
            return None
        return found if next(left, None) is None and self.count(found) <= most else None

    def blocks(self, tree: Tree) -> tuple[Block, ...]:
        """The network of a derivation."""
        blocks: list[Block] = []
        self._put(Term(tree.rule), [tree], (frozenset({0}), frozenset({0})), blocks)
        return tuple(blocks)

    def _put(self, term: Term, trees: Sequence[Tree], read: _Outputs, blocks: list[Block]) -> _Outputs:
        """Adds a term's blocks, given what its names became; gives what it leaves."""
        if term.name in self.rules:
            (tree,) = trees
            return self._put(self.term(tree), tree.children, read, blocks)
        if term.name in OPERATORS:
            return _put_operator(term, read, blocks)
        left, parts = list(trees), []
        for part in term.parts:
            count = sum(1 for _ in self.names(part))
            parts.append((part, left[:count]))
            left = left[count:]
        leaves = [read] if term.name == RESIDUAL else []
        for _ in range(term.times):
            for part, own in parts:
                given = self._put(part, own, read, blocks)
                if term.name in (SEQUENCE, REPEAT):
                    read = given
                else:
                    leaves.append(given)
        if not leaves:
            return read
        dense, sparse = zip(*leaves, strict=True)
        return frozenset().union(*dense), frozenset().union(*sparse)

    def _check(self, rule: str, term: Term) -> None:
        def fail(what: str) -> None:
            raise InputError(f"grammar: in rule {rule} {what}")

        if term.name in self.rules:
            if term.number is not None or term.parts:
                fail(f"{term.name} is the name of a rule and has no arguments")
        elif term.name in FUNCTIONS:
            wanted = {RESIDUAL: "one network", REPEAT: "a number from 2 on, and a network"}
            right = {
                RESIDUAL: term.number is None and len(term.parts) == 1,
                REPEAT: term.number is not None and 2 <= term.number <= MOST_BLOCKS and len(term.parts) == 1,
            }
            if not right.get(term.name, term.number is None and len(term.parts) >= 2):
                fail(f"{term.name} is given other arguments than {wanted.get(term.name, 'two or more networks')}")
        elif term.name in OPERATORS:
            if term.parts or (term.number is None) != OPERATORS[term.name].sets_width:
                has = "no argument" if OPERATORS[term.name].sets_width else f"its width, as in {term.name}(64)"
                fail(f"{term.name} is an operator, whose argument is {has}")
            if term.number is not None and not 1 <= term.number <= MOST_WIDTH:
                fail(f"{term.name} has the width {shortened(term.number)}")
        else:
            known = ", ".join((*FUNCTIONS, *OPERATORS))
            fail(f"{shortened(term.name)} is neither a rule nor one of {known}")
        for part in term.parts:
            self._check(rule, part)

    def _fewest(self) -> dict[str, int]:
        least: dict[str, int] = {}
        while True:
            found = {
                name: min(counts)
                for name, alternatives in self.rules.items()
                if (counts := [self.fewest(term, least) for term in alternatives if self._ends(term, least)])
            }
            if found == least:
                break
            least = found
        if endless := [name for name in self.rules if name not in least]:
            raise InputError(f"grammar: rule {endless[0]} never ends, as each of its alternatives leads back to it")
        return least

    def fewest(self, term: Term, least: Mapping[str, int] | None = None) -> int:
        """The fewest blocks that a term may become, given those of names; None for `self.least`."""
        least = self.least if least is None else least
        return self.own_blocks(term) + sum(times * least[name] for name, times in self.names(term))

    def _ends(self, term: Term, least: Mapping[str, int]) -> bool:
        return all(name in least for name, _ in self.names(term))

    def _check_growth(self) -> None:
        """Refuses names that become themselves without a block more: there would be no end of derivations."""
        alike: dict[str, set[str]] = {name: set() for name in self.rules}
        for rule, alternatives in self.rules.items():
            for term in alternatives:
                # Every name becomes a block at least, so that nothing else stays as large as it was.
                if not self.own_blocks(term) and len(names := list(self.names(term))) == 1 and names[0][1] == 1:
                    alike[rule].add(names[0][0])
        for name in self.rules:
            reached, waiting = set[str](), [*alike[name]]
            while waiting:
                if (other := waiting.pop()) not in reached:
                    reached.add(other)
                    waiting += alike[other]
            if name in reached:
                raise InputError(
                    f"grammar: rule {name} can become itself without an operator more; let it end, or add one"
                )


_Outputs = tuple[frozenset[int], frozenset[int]]
"""The dense outputs and the sparse ones that a network reads or leaves."""


def _put_operator(term: Term, read: _Outputs, blocks: list[Block]) -> _Outputs:
    operator, width = OPERATORS[term.name], term.number or 1
    dense, sparse = (tuple(sorted(outputs)) for outputs in read)
    is_dense, has_operands = operator.side == DENSE, OPERANDS in operator.reads
    blocks.append(
        Block(
            dense_operators=(term.name,) if is_dense else (),
            sparse_operators=() if is_dense else (term.name,),
            dense_width=width if is_dense else 0,
            sparse_width=0 if is_dense else width,
            dense_inputs=dense if DENSE_INPUTS in operator.reads else (),
            sparse_inputs=sparse if SPARSE_INPUTS in operator.reads else (),
            # The first and the last of what is there.
            left=dense[0] if has_operands else None,
            right=dense[-1] if has_operands else None,
        )
    )
    given = frozenset({len(blocks)})
    return (given, read[1]) if is_dense else (read[0], given)


class _Reader:
    """Reads the text of a grammar from left to right."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            if (match := _TOKEN.match(text, place)) is None:
                line = text.count("\n", 0, place) + 1
                raise InputError(f"grammar: line {line}: {shortened(text[place:].strip().splitlines()[0])} is no rule")
            if match[1] is not None:
                self.tokens.append(match[1])
            place = match.end()
        self.place = 0

    def rules(self) -> dict[str, tuple[Term, ...]]:
        found: dict[str, tuple[Term, ...]] = {}
        while self.place < len(self.tokens):
            name = self._next()
            if name in found:
                raise InputError(f"grammar: rule {name} is there twice; write its alternatives as one rule, with |")
            self._expect("->")
            alternatives = [self._term()]
            while self._see() == "|":
                self.place += 1
                alternatives.append(self._term())
            found[name] = tuple(alternatives)
        return found

    def _term(self) -> Term:
        name, number, parts = self._next(), None, []
        if not name[0].isalpha() and name[0] != "_":
            raise InputError(f"grammar: {shortened(name)} stands where a name is expected")
        if self._see() == "(":
            self.place += 1
            if self._see().isdigit():
                number = int(self._next()[:9])
                if self._see() == ",":
                    self.place += 1
            while self._see() != ")":
                parts.append(self._term())
                if self._see() != ")":
                    self._expect(",")
            self.place += 1
        return Term(name, number, tuple(parts))

    def _see(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def _next(self) -> str:
        if not (token := self._see()):
            raise InputError("grammar: it ends in the middle of a rule")
        self.place += 1
        return token

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise InputError(f"grammar: {shortened(found)} stands where {token} is expected")
