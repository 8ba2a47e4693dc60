"""The README and the pages of docs/, taken apart: blocks of code, tables, headings and links."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A block of code on a page; `line` is that of its first line there."""

    page: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_program(self) -> bool:
        """Whether it is a whole program."""
        return '__name__ == "__main__"' in self.text

    def compile(self) -> CodeType:
        """As Python, whose errors name the page and the line; it may await.

        After an expression, ``# → value`` is checked.
        """
        tree = ast.parse("\n" * (self.line - 1) + self.text, self.page)
        lines = ["", *("\n" * (self.line - 1) + self.text).split("\n")]
        tree.body = [_checked(statement, lines[statement.end_lineno]) for statement in tree.body]
        return compile(tree, self.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run(self, names: dict[str, Any]) -> None:
        """Run it with these names, to which it adds its own."""
        result = eval(self.compile(), names)
        if inspect.isawaitable(result):
            await result


def _checked(statement: ast.stmt, line: str) -> ast.stmt:
    _, arrow, expected = line.partition("# → ")
    if not isinstance(statement, ast.Expr) or not arrow:
        return statement
    call = ast.Call(ast.Name("assert_equal", ast.Load()), [statement.value, ast.parse(expected, mode="eval").body], [])
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), statement))


def assert_equal(found: Any, expected: Any) -> None:
    """Assert that an example gives what its comment says; True is not 1."""
    assert (found, type(found)) == (expected, type(expected)), f"{found!r}, not {expected!r}"


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page; those inside a list without their indentation."""
    text = page.read_text("utf-8")
    name = str(page.relative_to(ROOT))
    return [
        Block(name, match[2], re.sub(rf"^{match[1]}", "", match[3], flags=re.M), text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
    ]


def pieces(page: str) -> list[Block]:
    """The blocks of Python of a page that are no whole programs."""
    blocks = [block for block in blocks_of(ROOT / page) if block.language == "python"]
    return [block for block in blocks if not block.is_program]


def without_blocks(page: Path) -> str:
    """A page's text; where a block was, there are as many empty lines."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text("utf-8"))


def section(page: str, title: str) -> str:
    """The text under a heading, up to the next one of its rank; ``""`` is the whole page."""
    text = (ROOT / page).read_text("utf-8")
    if not title:
        return text
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.S | re.M)
    assert found, f"{page} has no section {title!r}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without their heads."""
    lines = [line for line in text.split("\n") if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if "---" not in row[0] + after[0]]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    found: dict[str, int] = {}
    result = set()
    for head in re.findall(r"^#+ (.*)$", without_blocks(page), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head)
        anchor = re.sub(r"[^\w -]", "", plain.lower()).replace(" ", "-")
        result.add(f"{anchor}-{found[anchor]}" if anchor in found else anchor)
        found[anchor] = found.get(anchor, 0) + 1
    return result


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures, without those on the web."""
    text = re.sub(r"`[^`\n]*`", "", without_blocks(page))
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
