"""The content that a visitor's session must have, by the answers that the visitor has got."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Expected:
    """The model of one session.

    Attributes:
        user: Who is logged in.
        profile: The length of a large text in the session.
        checked: How many acknowledged changes have been found.
        lost: How many have not.
    """

    def __init__(self) -> None:
        self.user: str | None = None
        self.profile = 0
        self.checked = 0
        self.lost = 0
        self._sure: set[str] = set()
        self._unsure: set[str] = set()  # stored or not: their requests had no answer
        self._undone: set[str] = set()
        self._fewest_hits = 0
        self._most_hits = 0

    def acknowledge(self, *tags: str) -> None:
        """Note changes that the server has confirmed."""
        self._sure.update(tags)
        self._fewest_hits += len(tags)
        self._most_hits += len(tags)

    def doubt(self, *tags: str) -> None:
        """Note changes without an answer: they may be stored, now or later."""
        self._unsure.update(tags)
        self._most_hits += len(tags)

    def undo(self, tag: str) -> None:
        """Note a change that the server has undone."""
        self._undone.add(tag)

    def check(self, found: dict[str, Any]) -> list[str]:
        """Compare the content of the session; return each problem as a sentence."""
        problems = self.check_tags(found["tags"])
        hits = found["hits"]
        if not self._fewest_hits <= hits <= self._most_hits:
            self.lost += max(0, self._fewest_hits - hits)
            problems.append(f"{hits} hits were counted, and not {self._fewest_hits} to {self._most_hits}")
        for name, value in (("user", self.user), ("profile", self.profile)):
            if found[name] != value:
                self.lost += 1
                problems.append(f"{name} is {found[name]!r}, and not {value!r}")
        return problems

    def check_tags(self, tags: list[str]) -> list[str]:
        """Compare the list only; return its problems."""
        found = Counter(tags)
        lost = self._sure - found.keys()
        undone = self._undone & found.keys()
        strange = found.keys() - self._sure - self._unsure - self._undone
        doubled = [tag for tag, count in found.items() if count > 1]
        self.lost += len(lost)
        self.checked += len(self._sure) - len(lost)
        stored = self._unsure & found.keys()  # from now on they must be there
        self._sure |= stored
        self._unsure -= stored
        self._fewest_hits += len(stored)
        kinds = [
            ("lost", lost),
            ("there although undone", undone),
            ("there unexpectedly", strange),
            ("there twice", doubled),
        ]
        return [f"{len(tags)} of the changes are {what}: {sorted(tags)[:5]}" for what, tags in kinds if tags]

    def order(self, tags: list[str]) -> list[str]:
        """Compare the list that was taken out, and expect it to be empty; return its problems."""
        problems = self.check_tags(tags)
        self._sure.clear()
        return problems
