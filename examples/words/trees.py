"""The Stanford Sentiment Treebank: sentences whose every word and phrase was judged by people; socher2013recursive.

Judgements go from 0 (very negative) over 2 (neutral) to 4 (very positive).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PIECE = re.compile(r"\(|\)|[^\s()]+")
_SPELLED = {"-LRB-": "(", "-RRB-": ")"}
NEUTRAL = 2


@dataclass
class Tree:
    """A word or phrase, how people judged it, and the phrases it is made of."""

    judgement: int
    word: str = ""
    parts: list["Tree"] = field(default_factory=list)

    def nodes(self) -> Iterator["Tree"]:
        """This phrase and all phrases in it."""
        yield self
        for part in self.parts:
            yield from part.nodes()

    def leaves(self) -> list["Tree"]:
        """The words in their order."""
        return [node for node in self.nodes() if not node.parts]

    @property
    def text(self) -> str:
        """The words with spaces between."""
        return " ".join(leaf.word for leaf in self.leaves())


def read_trees(path: Path) -> list[Tree]:
    """One tree for each line of ``train.txt``, ``dev.txt`` or ``test.txt``."""
    return [parsed(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def parsed(line: str) -> Tree:
    """A tree from brackets: ``(3 (2 not) (1 bad))``."""
    pieces = iter(_PIECE.findall(line))

    def node() -> Tree:
        tree = Tree(int(next(pieces)))
        for piece in pieces:
            if piece == ")":
                return tree
            if piece == "(":
                tree.parts.append(node())
            else:
                tree.word = _SPELLED.get(piece, piece.replace("\\/", "/"))
        raise ValueError(f"a bracket is not closed in {line!r}")

    if next(pieces, "") != "(":
        raise ValueError(f"a tree begins with a bracket, not {line[:20]!r}")
    return node()
