"""Changes to a session that comparing before and after cannot tell.

    changes = Changes()
    changes.add("visits", 1)
    merge(base, mine, theirs, **changes.as_arguments())

That `visits` went from 3 to 4 may mean "set it to 4" or "add 1 to whatever is stored". An empty session may have been
emptied, or may never have held what another request has put into the store. A key listed as old flash data may be this
request's, or that of the request before. Saving must know which, when another request has saved first.
"""

from __future__ import annotations

from typing import Any

from .keytree import KeyTree

_NONE: dict[str, float] = {}  # stays empty


class Changes:
    """The changes since loading or saving; cheap to make, as each session has one.

    Attributes:
        increments: The amount that `increment` has added to each key.
        flushed: Whether the session was emptied.
        aged: Whether its flash data was aged.
        flash_key: The key of the lists of flashed keys, for `merge`.
    """

    # The defaults are the class's, so that making one costs next to nothing.
    increments: dict[str, float] = _NONE
    flushed = False
    aged = False
    flash_key = "flash"
    _tree: KeyTree | None = None  # of the keys of `increments`; made by the first `forget`

    def __repr__(self) -> str:
        return f"Changes(increments={self.increments!r}, flushed={self.flushed}, aged={self.aged})"

    def __eq__(self, other: object) -> bool:
        return self.as_arguments() == other.as_arguments() if isinstance(other, Changes) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # they change

    def add(self, key: str, amount: float) -> None:
        """Note that an amount was added to a key."""
        if self._tree is not None and key not in self.increments:
            self._tree.add(key)
        if self.increments is _NONE:
            self.increments = {}
        self.increments[key] = self.increments.get(key, 0) + amount

    def forget(self, steps: tuple[str, ...]) -> None:
        """Note that a value was set: increments of it, above and below no longer count."""
        if self._tree is None:
            self._tree = KeyTree(self.increments)
        for key in self._tree.cut(steps):
            del self.increments[key]

    def flush(self) -> None:
        """Note that the session was emptied, so that earlier increments do not count."""
        self.increments, self._tree = _NONE, None
        self.flushed = True

    def clear(self) -> None:
        """Forget all changes: the store holds the same as the session."""
        self.increments, self._tree = _NONE, None
        self.flushed = self.aged = False

    def put_back(self, sent: Changes) -> None:
        """Put back changes whose write failed: they must be saved with the later ones."""
        if not self.flushed:
            for key, amount in sent.increments.items():
                self.add(key, amount)
        self.flushed = self.flushed or sent.flushed
        self.aged = self.aged or sent.aged

    def copy(self) -> Changes:
        """The same changes, in an object of their own."""
        copied = Changes()
        copied.increments, copied.flushed, copied.aged = dict(self.increments), self.flushed, self.aged
        return copied

    def as_arguments(self) -> dict[str, Any]:
        """A copy of these changes as keyword arguments of `merge`."""
        increments, flash_key = dict(self.increments), self.flash_key
        return {"increments": increments, "flushed": self.flushed, "aged": self.aged, "flash_key": flash_key}
