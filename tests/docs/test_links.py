"""Links of the README, of docs/ and of the pages beside them lead somewhere, and each page can be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import PAGES, README, ROOT, anchors, links

# They link to the pages, and are linked to.
SAMPLES = ["samples/README.md", "samples/strangler/README.md", "samples/strangler-express/README.md"]
BESIDE = ["CHANGELOG.md", "CONTRIBUTING.md", *SAMPLES]
ALL = [*PAGES, *(ROOT / name for name in BESIDE)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_links(page):
    """Every picture, file and section that a page points to is there."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_pictures_of_the_readme():
    """The README shows the shop; how-it-works.md has the drawing of a request."""
    assert "docs/shop.png" in links(README)
    assert "request.svg" in links(ROOT / "docs" / "how-it-works.md")
    assert "panel.png" in links(ROOT / "docs" / "observing.md")


def test_every_page_is_found():
    """The README links to each page, and so does the list of pages; each is linked to by another one as well."""
    index = ROOT / "docs" / "README.md"
    of_readme = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    assert {page for page in PAGES if page != README} <= of_readme
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert {page for page in PAGES if page != index} <= listed
    by_others = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES if page != index for link in links(page)
    }
    assert set(PAGES) <= by_others


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_head(page):
    """A page begins with its title; one of docs/ goes on with the question that it answers."""
    title, empty, first = page.read_text("utf-8").split("\n")[:3]
    assert title.startswith("# ") and not empty
    if page != README and page.name != "capacity.md":
        assert first.rstrip().endswith("?"), first


def test_length_of_the_readme():
    """Five minutes for a newcomer."""
    assert len(README.read_text("utf-8").splitlines()) <= 190


def test_moved_page_is_not_named():
    """No file of the project names MIGRATING.md, which is docs/migrating.md now; the changelog may."""
    suffixes = (".py", ".md", ".js", ".toml", ".html")
    folders = ("node_session", "samples", "tests", "docs")
    files = [
        each
        for folder in folders
        for each in (ROOT / folder).rglob("*")
        if each.suffix in suffixes and "node_modules" not in each.parts
    ]
    names = [each for each in files if "MIGRATING" + ".md" in each.read_text("utf-8") and each != Path(__file__)]
    assert names == []
