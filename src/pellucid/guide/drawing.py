"""The map drawn with box characters: four overlapping rectangles, every method in the region of its scopes.

The rectangles lie like the bands of a Karnaugh map, two across and two down, so that all fifteen overlaps of four sets
are there, each in one piece, and can be read without colour: each scope has a line of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pellucid.core.spec import Scope

_UP, _DOWN, _LEFT, _RIGHT = range(4)
_LIGHT, _HEAVY = 1, 2
# Indexed by the weights of the four arms (up, down, left, right), 0 for no arm.
_JUNCTIONS = {
    (0, 1, 0, 1): "┌", (0, 2, 0, 2): "┏", (0, 1, 1, 0): "┐", (0, 2, 2, 0): "┓",
    (1, 0, 0, 1): "└", (2, 0, 0, 2): "┗", (1, 0, 1, 0): "┘", (2, 0, 2, 0): "┛",
    (1, 1, 1, 1): "┼", (2, 2, 2, 2): "╋", (1, 1, 2, 2): "┿", (2, 2, 1, 1): "╂",
}  # fmt: skip
_ACROSS = (Scope.DECOMPOSABILITY, Scope.TRANSPARENCY)
_DOWNWARD = (Scope.TRANSLATABILITY, Scope.EXPLAINABILITY)
_ROWS = ((), (0,), (0, 1), (1,))
_COLUMNS = ((), (0,), (0, 1), (1,))
_NARROWEST = (13, 15, 9, 9)
_FRAME = 19


@dataclass(frozen=True)
class Line:
    """How the border of one scope is drawn: horizontal, vertical and weight."""

    horizontal: str
    vertical: str
    weight: int


LINES = {
    Scope.TRANSPARENCY: Line("━", "┃", _HEAVY),
    Scope.DECOMPOSABILITY: Line("┅", "┇", _HEAVY),
    Scope.TRANSLATABILITY: Line("┄", "┆", _LIGHT),
    Scope.EXPLAINABILITY: Line("─", "│", _LIGHT),
}


def drawing(regions: Mapping[frozenset[Scope], Sequence[str]], width: int = 80) -> str:
    """The map as text of ``width`` (80 or more) columns; ``regions`` holds the names in each exact set of scopes."""
    cells = [[regions.get(_scopes(row, column), ()) for column in range(4)] for row in range(4)]
    widths = _widths(cells, width - _FRAME)
    texts = [[_packed(names, widths[c]) for c, names in enumerate(row)] for row in cells]
    heights = [max(1, *map(len, row)) for row in texts]
    return _Canvas(widths, heights).text(texts)


def _scopes(row: int, column: int) -> frozenset[Scope]:
    return frozenset([_ACROSS[n] for n in _ROWS[row]] + [_DOWNWARD[n] for n in _COLUMNS[column]])


def _widths(cells: Sequence[Sequence[Sequence[str]]], room: int) -> list[int]:
    """Columns as wide as their longest name where there is room, else narrower where that breaks the fewest names; what is
    left goes to the fullest column."""
    names = [[name for row in cells for name in row[column]] for column in range(4)]
    wanted = [max([narrowest, *map(len, column)]) for narrowest, column in zip(_NARROWEST, names, strict=True)]

    def loss(column: int) -> tuple[bool, int, int]:
        broken = sum(len(name) >= wanted[column] for name in names[column])
        return wanted[column] == _NARROWEST[column], broken, -wanted[column]

    while sum(wanted) > room:
        wanted[min(range(4), key=loss)] -= 1
    fullest = max(range(4), key=lambda column: len(names[column]))
    wanted[fullest] += room - sum(wanted)
    return wanted


def _packed(names: Sequence[str], width: int) -> list[str]:
    """Names side by side while they fit, one below the other otherwise; too long a name breaks at its hyphens."""
    lines: list[str] = []
    for name in names:
        parts = _broken(name, width)
        beside = lines and len(parts) == 1 and not lines[-1].startswith(" ")
        if beside and len(lines[-1]) + 2 + len(name) <= width:
            lines[-1] += f"  {name}"
        else:
            lines += parts
    return lines


def _broken(name: str, width: int) -> list[str]:
    if len(name) <= width:
        return [name]
    cut = name.rfind("-", 0, width) + 1 or width
    return [name[:cut], *(f" {part}" for part in _broken(name[cut:], width - 1))]


class _Canvas:
    """Borders and texts on a grid of characters; where borders meet, their arms are joined in one character."""

    def __init__(self, widths: Sequence[int], heights: Sequence[int]) -> None:
        self.columns, self.rows = self._columns(widths), self._rows(heights)
        decomposability, transparency, translatability, explainability = self._boxes(widths, heights)
        self.boxes = {
            Scope.DECOMPOSABILITY: decomposability,
            Scope.TRANSPARENCY: transparency,
            Scope.TRANSLATABILITY: translatability,
            Scope.EXPLAINABILITY: explainability,
        }
        self.width = explainability[2] + 1
        self.height = transparency[3] + 1

    def text(self, texts: Sequence[Sequence[Sequence[str]]]) -> str:
        grid = self._borders()
        for row, across in enumerate(texts):
            for column, lines in enumerate(across):
                for number, line in enumerate(lines):
                    self._write(grid, self.columns[column], self.rows[row] + number, line)
        self._titles(grid)
        return "\n".join("".join(line).rstrip() for line in grid)

    def _columns(self, widths: Sequence[int]) -> list[int]:
        starts = [4]
        for width in widths[:-1]:
            starts.append(starts[-1] + width + 3)
        return starts

    def _rows(self, heights: Sequence[int]) -> list[int]:
        starts = [2]
        for height in heights[:-1]:
            starts.append(starts[-1] + height + 1)
        return starts

    def _boxes(self, widths: Sequence[int], heights: Sequence[int]) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each scope. Edges are staggered so that no two borders lie on each other."""
        _, second, third, fourth = self.columns
        right = fourth + widths[3] + 1
        one, two, three, four = self.rows
        bottom = four + heights[3]
        return [
            (0, two - 1, right + 2, four - 1),
            (2, three - 1, right, bottom + 2),
            (second - 2, one - 1, fourth - 2, bottom),
            (third - 2, one - 2, right + 4, bottom + 1),
        ]

    def _borders(self) -> list[list[str]]:
        arms: dict[tuple[int, int], list[int]] = {}
        plain: dict[tuple[int, int], str] = {}
        for scope, (left, top, right, bottom) in self.boxes.items():
            line = LINES[scope]
            for x in range(left, right + 1):
                for y in (top, bottom):
                    found = arms.setdefault((x, y), [0] * 4)
                    found[_LEFT] = max(found[_LEFT], line.weight * (x > left))
                    found[_RIGHT] = max(found[_RIGHT], line.weight * (x < right))
                    plain[x, y] = line.horizontal
            for y in range(top, bottom + 1):
                for x in (left, right):
                    found = arms.setdefault((x, y), [0] * 4)
                    found[_UP] = max(found[_UP], line.weight * (y > top))
                    found[_DOWN] = max(found[_DOWN], line.weight * (y < bottom))
                    plain[x, y] = line.vertical
        grid = [[" "] * self.width for _ in range(self.height)]
        for (x, y), found in arms.items():
            grid[y][x] = _JUNCTIONS.get((found[0], found[1], found[2], found[3]), plain[x, y])
        return grid

    def _titles(self, grid: list[list[str]]) -> None:
        for scope, (left, top, right, bottom) in self.boxes.items():
            title = f" {scope.value.upper()} "
            if scope is Scope.TRANSPARENCY:
                self._write(grid, left + 2, bottom, title)
            elif scope is Scope.EXPLAINABILITY:
                self._write(grid, right - len(title) - 1, top, title)
            else:
                self._write(grid, left + 1, top, title)

    @staticmethod
    def _write(grid: list[list[str]], x: int, y: int, text: str) -> None:
        grid[y][x : x + len(text)] = text
