"""A program's session records: the driver, with encryption and JSON on top.

    records = Records(driver, policy=Policy(), encrypter=None)
    found = await records.load(id)          # Loaded, Farewell or a Lack
    version = await records.write(id, text, found.version)

A program makes one `Records`, which knows no session. The command line uses it, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import aside, encryption, farewell, ids, roster, serializer
from .drivers.base import Driver, Record
from .encryption import CustomEncrypter, SessionEncrypter
from .errors import ConflictError, DamagedError, MismatchError
from .events import Events
from .farewell import TRACEABLE, Farewell
from .formats import NODE_SESSION, Format
from .graces import Graces
from .lifetimes import KEY as OWN_LIFETIME
from .lifetimes import own_lifetime
from .loaded import Lack as Lack
from .loaded import Loaded as Loaded
from .owners import Owners
from .policy import Policy
from .serializer import LARGE

logger = logging.getLogger("node_session")

SECOND_LOOKS = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Delays, in seconds, before rereading a record that looks damaged.

Only a record that may be half written is read again (`Driver.half_written_for`). The original writes within a
millisecond, unless a busy machine interrupts it."""


def _now() -> float:
    return time.time()


class Records:
    """All records of a program.

    Args:
        driver: Keeps them.
        policy: Says how long they last.
        encrypter: Encrypts them; None: they are stored as plain text.
        events: Receives damaged records.
        clock: Returns seconds since 1970; None: the system's clock.
        owners: Finds the lists of owners' devices; None: nobody else can find those that are made here.
        format: Their form.

    Attributes:
        driver, policy, events, clock, owners, format: As given.
        graces: Destroys farewells when their grace is over.
        on_lifetime: Called with the lifetime of its own, in milliseconds, that a session was found to have, or got.
    """

    def __init__(
        self,
        driver: Driver,
        policy: Policy | None = None,
        encrypter: SessionEncrypter | None = None,
        events: Events | None = None,
        clock: Callable[[], float] | None = None,
        owners: Owners | None = None,
        format: Format = NODE_SESSION,
    ) -> None:
        self.driver = driver
        self.policy = Policy() if policy is None else policy
        self.encrypter = encrypter
        self.events = Events(type(driver).__name__) if events is None else events
        self.clock = _now if clock is None else clock
        self.owners = Owners() if owners is None else owners
        self.format = format
        self.ids = format.ids
        self._has_envelope = format.has_envelope
        self.on_lifetime: Callable[[float], object] = bool  # nobody needs to know
        self.graces = Graces((self.policy.regenerate_grace or TRACEABLE) / 1000, self.destroy_farewell)

    async def load(self, id: str) -> Loaded | Farewell | Lack:
        """Find the session under an id.

        A damaged record is set aside, with a line in the log. A session past its absolute lifetime is destroyed, and
        so is one past its own in a store that cannot expire it (`shift`).

        Raises:
            UnavailableError: The store cannot tell.
            UnsupportedError: It is in a form that the program's format does not support.
        """
        try:
            loaded = await self.read(id)
        except DamagedError as error:
            self.format.judge(error)
            await self.set_aside(id, error)
            return Lack.DAMAGED
        if loaded is None:
            return Lack.ABSENT
        attributes = loaded.attributes
        if farewell.KEY in attributes and farewell.is_farewell(attributes, self.format):
            return farewell.parse(attributes, id, loaded.idle, loaded.version, self.format)
        if roster.KEY in attributes and roster.is_roster(attributes):
            return Lack.ABSENT
        if self.policy.is_over(attributes, self.clock()):
            await self.driver.destroy(id)
            return Lack.OVER
        if loaded.own_lifetime is not None and loaded.own_lifetime < loaded.idle < math.inf:
            try:
                await self.driver.destroy(id, loaded.version)
            except ConflictError:  # its request has just saved it
                return await self.load(id)
            return Lack.OVER
        return loaded

    async def read(self, id: str, delays: Sequence[float] = SECOND_LOOKS) -> Loaded | None:
        """Read a record, even a farewell; None if there is none.

        Args:
            id: Its id.
            delays: Seconds before each rereading of a record that looks damaged, as long as another program may be
                writing it.

        Raises:
            DamagedError: It is still damaged after that. The error has the record's `idle` and `version`.
            UnavailableError: The store cannot tell.
        """
        left = iter(delays)
        while True:
            record = None
            try:
                record = await self.driver.read(id)
                return None if record is None else await self.parse(record, id)
            except DamagedError as error:
                if record is not None:
                    error.idle, error.version = record.idle, record.version
                delay = next(left, None)
                if delay is None or not abs(error.idle) < self.driver.half_written_for:
                    raise
            await asyncio.sleep(delay)

    async def parse(self, record: Record, id: str) -> Loaded:
        """Decrypt and parse a record; large ones in a thread.

        Raises:
            DamagedError: It is not a session.
            MismatchError: It was written with another config.
        """
        payload, encrypter = record.payload, self.encrypter
        if encrypter is None:
            encryption.refuse_encrypted(payload)
            text = payload
        else:
            text = await _crypt(encrypter, encrypter.decrypt, payload, id)
        if self._has_envelope:
            attributes, text, envelope = await aside.run(len(text), self.format.open, text)
            loaded = Loaded(attributes, text, record.version, record.idle, envelope=envelope)
        else:
            attributes = serializer.loads(text) if len(text) < LARGE else await aside.loads(text)
            is_outdated = encrypter is not None and not encrypter.is_current(payload)
            loaded = Loaded(attributes, text, record.version, record.idle, is_outdated)
        if OWN_LIFETIME in attributes:
            loaded.own_lifetime = own_lifetime(attributes)
            loaded.idle -= self.shift(loaded.own_lifetime)
        return loaded

    @property
    def can_shift(self) -> bool:
        """Whether the store expires records, and takes the last activity of each."""
        return bool(self.policy.lifetime) and self.driver.takes_idle

    def shift(self, own: float | None) -> float:
        """The milliseconds by which the stored last activity of a record lies before the real one.

        With it, a record with a lifetime of its own expires in time although the store knows the option's only. Less
        than 0 for a longer lifetime; 0 without one, or if the store cannot do so: then `load` checks the lifetime, if
        the driver tells for how long a record was idle.
        """
        return 0 if own is None or not self.can_shift else self.policy.lifetime - own

    async def write(self, id: str, text: str, version: object, idle: float = 0, envelope: Any = None) -> object:
        """Store a text; see `Driver.write`, for `idle` `UnitOfWork.idle_to_write`, for `envelope` `Format.close`."""
        if self._has_envelope:
            text = await aside.run(len(text), self.format.close, text, envelope, self.clock())
        encrypter = self.encrypter
        if encrypter is not None:
            text = await _crypt(encrypter, encrypter.encrypt, text, id)
        if idle and self.driver.takes_idle:
            return await self.driver.write(id, text, version, idle=idle)
        return await self.driver.write(id, text, version)

    async def touch(self, id: str, idle: float = 0) -> None:
        """Renew a record; see `Driver.touch`."""
        await (self.driver.touch(id, idle=idle) if idle and self.driver.takes_idle else self.driver.touch(id))

    async def confirm(self, id: str, version: object, idle: float = 0) -> bool:
        """Renew a record if it is still this version; see `Driver.confirm`."""
        if idle and self.driver.takes_idle:
            return await self.driver.confirm(id, version, idle=idle)
        return await self.driver.confirm(id, version)

    async def destroy_farewell(self, id: str, at: int) -> None:
        """Destroy the farewell under an id that was written at a time (ms since 1970).

        Another record stays: the npm original may have begun a session under this id.

        Raises:
            UnavailableError: The store cannot tell.
        """
        with contextlib.suppress(DamagedError, ConflictError):
            there = await self.read(id, ())
            if there is not None and farewell.was_left_at(there.attributes, at, self.format):
                await self.driver.destroy(id, there.version)

    async def set_aside(self, id: str, error: DamagedError) -> None:
        """Tell of a damaged record, and let the driver set it aside."""
        self.events.note("damaged", id)
        if isinstance(error, MismatchError):  # under the right config it is a session
            self.events.warn_of_mismatch(id, error)
            return
        logger.error(
            "session %s is damaged (%s): a fresh session is started, the record is kept aside", ids.shorten(id), error
        )
        await self.driver.set_aside(id, error.version)


async def _crypt(encrypter: SessionEncrypter, work: Callable[[str, str], str], text: str, id: str) -> str:
    """Encrypt or decrypt a text; a large one in a thread, if the encrypter is thread-safe."""
    if isinstance(encrypter, CustomEncrypter):  # which need not be
        return work(text, id)
    return await aside.run(len(text), work, text, id)
