"""The base class of formats: everything in which two of them differ.

A format does no I/O and knows no session. Its text of a record has two parts: the session's attributes, which handlers
see, and perhaps an envelope, which belongs to the other program: `open` takes the attributes out, and `close` puts
them back. All else of this package works with the attributes and their own text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from ..errors import DamagedError
from ..ids import Rule


class Opened(NamedTuple):
    """The parts of a record's text.

    Attributes:
        attributes: The session's.
        text: These alone, as JSON: what a save compares to know whether they have changed.
        envelope: What `Format.close` needs to write the rest again.
    """

    attributes: dict[str, Any]
    text: str
    envelope: Any


class FormatOptions(Protocol):
    """The part of a `Config` that formats need; `Config` explains each option."""

    @property
    def other_ids(self) -> bool:
        """Whether ids of any form are taken."""

    @property
    def encrypt(self) -> bool | Literal["legacy"]:
        """Whether records are encrypted."""

    @property
    def hash_ids(self) -> bool:
        """Whether records are kept under hashes of their ids."""

    @property
    def bind_name(self) -> bool:
        """Whether the cookie's signature covers its name."""

    @property
    def lifetime(self) -> float:
        """Milliseconds a record may be idle; 0: for ever."""

    @property
    def expire_on_close(self) -> bool:
        """Whether the cookie ends with the browser."""

    @property
    def path(self) -> str:
        """Path of the cookie."""

    @property
    def domain(self) -> str | None:
        """Domain of the cookie."""

    @property
    def secure(self) -> bool | Literal["auto"]:
        """Whether the cookie is for https only."""

    @property
    def http_only(self) -> bool:
        """Whether the cookie is hidden from JavaScript."""

    @property
    def same_site(self) -> str | None:
        """The cookie's SameSite."""

    @property
    def partitioned(self) -> bool:
        """Whether the cookie is partitioned."""

    @property
    def csrf(self) -> bool | Literal["csrf-sync"]:
        """Whether CSRF tokens are checked, and whose they are."""


class Format(ABC):
    """What a format says. The defaults are those of node-session.

    Args:
        options: The program's, checked; None: all at their defaults.
    """

    name: ClassVar[str]
    """In the option `format`; and the layout that a driver keeps the records in."""

    ids: Rule
    """The ids."""

    has_envelope: ClassVar[bool] = False
    """Whether records have another part than the attributes. If not, a record is the text of its attributes, and `open`
    and `close` are never called."""

    keeps_scheme: bool = False
    """Whether a new record says if its request is https; see `new_envelope`."""

    strange_keys: frozenset[str] = frozenset()
    """Keys of which a session should have none: see `check_keys`."""

    flash_key: str = "flash"
    """The key of the lists of flashed keys."""

    lists_no_flash: bool = True
    """Whether a session has these lists also if they are empty."""

    makes_tokens: bool = True
    """Whether a session gets a CSRF token when it starts, not when it is asked for one."""

    messages_key: ClassVar[str | None] = None
    """The key under which the other program flashes messages: an object of lists; None if it does not."""

    token_keys: ClassVar[tuple[str, ...]] = ("_token",)
    """The keys of the CSRF tokens, or of the secrets that these are made of."""

    token_field: ClassVar[str] = "_token"  # noqa: S105
    """The form field that forms send the CSRF token in."""

    token_fields: ClassVar[tuple[str, ...]] = ("_token", "_xsrf")
    """The form fields in which it may come."""

    token_headers: ClassVar[tuple[str, ...]] = ("X-CSRF-Token", "X-XSRF-Token", "X-Csrftoken", "X-Xsrftoken")
    """The headers in which it may come."""

    token_queries: ClassVar[tuple[str, ...]] = ()
    """The parameters of the query in which it may come."""

    def __init__(self, options: FormatOptions | None) -> None:
        # Each request asks for these, and Python finds them three times as fast here as on the class.
        self.flash_key, self.lists_no_flash = self.flash_key, self.lists_no_flash
        self.makes_tokens, self.strange_keys = self.makes_tokens, self.strange_keys

    def __repr__(self) -> str:
        return f"<format {self.name}>"

    # ---------------------------------------------------------------- the config

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults of options that are not `Config`'s own.

        Args:
            given: The options that the program gives, checked, by their names in `Config`.
        """
        return {}

    @classmethod
    def contradictions(cls, options: FormatOptions) -> Iterator[str]:
        """Find the options that cannot work with this format."""
        yield from ()

    def is_same(self, other: Format) -> bool:
        """Whether a record of this format is one of the other format as it is."""
        return self.name == other.name

    # ---------------------------------------------------------------- records

    def open(self, text: str) -> Opened:
        """Take a record's text apart.

        Raises:
            DamagedError: It is not a session's.
            UnsupportedError: It may be, but in a form that this format does not support.
        """
        raise NotImplementedError

    def close(self, text: str, envelope: Any, now: float) -> str:
        """Put a record's text together.

        Args:
            text: The attributes, as JSON.
            envelope: Of the record that is replaced; None: there is none.
            now: Seconds since 1970.
        """
        raise NotImplementedError

    def new_envelope(self, is_https: bool) -> Any:
        """Make the envelope of a new record. Called only if the format keeps the scheme of its request."""
        raise NotImplementedError

    def judge(self, error: DamagedError) -> None:  # noqa: B027 - optional, not forgotten
        """Look at a record that is damaged.

        Raises:
            UnsupportedError: It probably is a session in a form that this format does not support.
        """

    def check_keys(self, keys: Collection[str]) -> None:  # noqa: B027 - optional, not forgotten
        """Look at the keys of a session that is to be stored, and has some of `strange_keys`.

        Raises:
            SerializationError: The other program uses one for something else.
        """

    @abstractmethod
    def veil(self, id: str, other: str) -> str:
        """Mask an id, so that only a reader who knows the other id can unmask it."""

    @abstractmethod
    def is_veiled(self, value: object) -> bool:
        """Whether a value may be such a masked id."""

    @abstractmethod
    def unveil(self, veiled: str, other: str) -> str | None:
        """Unmask an id; None if that gives none."""

    # ---------------------------------------------------------------- sessions

    def ends_with_browser(self, envelope: Any, attributes: Mapping[str, Any]) -> bool:
        """Whether a session's cookie ends with the browser. Called only if records have an envelope, which says it."""
        raise NotImplementedError

    @abstractmethod
    def token_of(self, attributes: Mapping[str, Any]) -> str | None:
        """The CSRF token of a session; None if there is none yet."""

    @abstractmethod
    def new_tokens(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        """Make the attributes from which `token_of` gives a new token."""

    @abstractmethod
    def accepts(self, attributes: Mapping[str, Any], token: str) -> bool:
        """Whether a token that was sent is the session's; compared in constant time."""
