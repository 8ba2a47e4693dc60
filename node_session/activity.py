"""The times of a session's activity, and how long it may be idle."""

from __future__ import annotations

import contextlib
import math
import time

from .errors import DamagedError
from .records import Records


class Activity:
    """The times of a session in a request, by the monotonic clock."""

    records: Records

    renew_after: float
    """The seconds after which an idle session is renewed."""

    loaded_at = 0.0
    """When the record was looked up."""

    active_at = -math.inf
    """When the record was last renewed."""

    seen_at = -math.inf
    """When the record was last renewed before this request."""

    idle_before = 0.0
    """Seconds for which the session was idle before this request."""

    is_passive: bool | None = False
    """Whether the request is no activity; see `node_session.passive`. None: it cannot be, since it has regenerated."""

    own_lifetime: float | None = None
    """The lifetime of its own that the record has, in ms. The content may have another one, which is not saved yet."""

    def note_lifetime(self, own: float | None) -> None:
        """Note the lifetime of its own that the record has; None: it has none."""
        if own == self.own_lifetime:
            return
        self.own_lifetime, policy = own, self.records.policy
        self.renew_after = (policy.renew_after if own is None else policy.renew_own_after(own)) / 1000
        if own is not None:
            self.records.on_lifetime(own)

    def idle_to_write(self, own_lifetime: float | None) -> float:
        """The argument `idle` of `Driver.write`, `touch` and `confirm` for a record of this session.

        This is the only place that decides it.

        Args:
            own_lifetime: The one that the record is to have.
        """
        idle = 0 if own_lifetime is None else self.records.shift(own_lifetime)
        if self.is_passive and math.isfinite(self.active_at):  # a custom driver may not tell
            idle += (time.monotonic() - self.active_at) * 1000
        return idle

    async def renew(self, id: str, version: object) -> None:
        """Renew a record for as long as its lifetime says.

        Another request may have given it another lifetime since it was loaded, so its version is compared: a renewal by
        the old one would end it too early or too late.

        Args:
            id: The record's.
            version: The one with our `own_lifetime`; None: unknown.
        """
        records = self.records
        if not records.can_shift:
            await records.touch(id)
            return
        if version is not None and await records.confirm(id, version, self.idle_to_write(self.own_lifetime)):
            return
        with contextlib.suppress(DamagedError):
            there = await records.read(id, ())
            if there is None or await records.confirm(id, there.version, self.idle_to_write(there.own_lifetime)):
                return
            again = await records.driver.read(id)  # it was changed just now, and so renewed, or this driver cannot tell
            if again is not None and again.version == there.version:
                await records.touch(id, self.idle_to_write(there.own_lifetime))
