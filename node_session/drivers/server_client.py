"""The interface between a driver on a database server and its client library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

TOO_LONG = "make the column payload larger (text, in MySQL mediumtext), or keep less in a session"
TOO_SMALL = "the column lastActivity must hold milliseconds since 1970: make it a bigint"


class Result(NamedTuple):
    """The result of a statement."""

    changed: int
    rows: Sequence[Sequence[Any]] = ()


class ServerClient(ABC):
    """Speaks to a client library, and understands its errors.

    Attributes:
        failures: The errors of the client library.
    """

    failures: ClassVar[tuple[type[Exception], ...]]

    @abstractmethod
    async def _open_pool(self) -> Any: ...

    @abstractmethod
    async def _close_pool(self, pool: Any) -> None: ...

    @abstractmethod
    async def _acquire(self, pool: Any) -> Any:
        """Take a connection of the pool."""

    @abstractmethod
    async def _release(self, pool: Any, connection: Any) -> None:
        """Give a connection back to the pool, whether open or closed."""

    def _identity(self, connection: Any) -> object:
        """Find the object that stays the same whenever the pool gives this connection."""
        return connection

    @abstractmethod
    def _close_connection(self, connection: Any) -> None:
        """Close a connection without waiting for the server."""

    @abstractmethod
    def _opened(self, connection: Any) -> float:
        """Tell when an unused connection was opened, by the monotonic clock."""

    @abstractmethod
    def _transport(self, connection: Any) -> Any:
        """Find the transport of a connection; None if it is not known."""

    @abstractmethod
    async def _run_on(self, connection: Any, statement: str, values: Sequence[Any]) -> Result: ...

    @abstractmethod
    def _is_duplicate(self, error: Exception) -> bool:
        """Whether an error says that there is a record of that id."""

    @abstractmethod
    def _is_no_table(self, error: Exception) -> bool:
        """Whether an error says that there is no such table."""

    @abstractmethod
    def _is_broken_off(self, error: Exception) -> bool:
        """Whether the database broke a statement off in favour of another transaction."""

    def _cure(self, error: Exception) -> str:
        """The cure for a value that does not fit into its column; empty for other errors."""
        return ""

    def _is_held(self, error: Exception) -> bool:
        """Whether a statement was not done because another transaction holds a record."""
        return False

    @abstractmethod
    def _is_read_only(self, error: BaseException) -> bool:
        """Whether the server refused to write, so that nothing was done."""

    @abstractmethod
    def _is_lost(self, error: BaseException) -> bool:
        """Whether an error says that the connection broke, or is about to."""

    @abstractmethod
    def _leaves_it_usable(self, error: BaseException) -> bool:
        """Whether the connection is good after an error: no answer is on its way."""
