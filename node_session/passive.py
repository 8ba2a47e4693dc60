"""Requests that are no activity of the user, such as polls.

A passive request reads and writes as others do, but its session expires when it
would have without it: nothing renews the record, a write keeps the record's last activity, no cookie is sent, and flash
data does not age. A session that such a request would begin is neither stored nor sent.

Once the request has regenerated its session it is an ordinary one: without its new cookie the client would have none.
"""

from __future__ import annotations

from .errors import ConflictError, DamagedError
from .loading import note_activity
from .work import UnitOfWork


def become_passive(work: UnitOfWork) -> None:
    """Let the request be no activity from now on, unless it has regenerated its session."""
    work.content.ages_flash = False
    if work.is_passive is not None:
        work.is_passive = True


async def look_again(work: UnitOfWork) -> None:
    """Read the record's last activity right before a passive write, which must not set it back.

    An active request may have renewed the record since it was loaded, which does not change its version.

    Raises:
        ConflictError: The record has expired or was destroyed meanwhile.
        UnavailableError: The store cannot tell.
    """
    try:
        record = await work.records.driver.read(work.id)
    except DamagedError:
        return  # the write finds out that it is another version
    if record is None:
        raise ConflictError("the record is gone")
    note_activity(work, record.idle - work.records.shift(work.own_lifetime))
