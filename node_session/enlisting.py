"""A session's way into the list of its owner's devices, and out of it.

Only a session that was given an owner comes here. Its list is asked when it gets a record of its own (at a login or
under a new id), and then at most as often as its record is renewed.
"""

from __future__ import annotations

import logging

from . import ids
from .content import Client
from .device import Claim
from .devices import Devices
from .drivers.hashed import HashedDriver
from .drivers.plain import PlainDriver
from .errors import UnavailableError
from .lifetimes import own_lifetime
from .owners import Owned, owned
from .state import GONE, STORED
from .work import UnitOfWork

logger = logging.getLogger("node_session")

# Seconds after which a session is looked for in its list again if sessions never expire.
_LOOKED_FOR_AFTER = 15

_LONGEST_ADDRESS = 100
_LONGEST_USER_AGENT = 300


async def enter(work: UnitOfWork) -> bool:
    """Enter a session in its owner's list, before it is written for the first time under its id.

    Returns:
        Whether that was needed. If the device was logged out meanwhile, the session ends.

    Raises:
        UnavailableError: The store is down; the session must not be written.
    """
    claim = claim_of(work)
    if claim is None or (work.version is not None and not claim.is_new and not work.content.is_unverified):
        return False
    if await Devices(work.records).enter(claim):
        work.content.is_unverified = True
    else:
        await _end(work, claim)
    return True


async def verify(work: UnitOfWork, is_entered: bool, *, has_other_lifetime: bool = False) -> None:
    """After the write, find out whether the device was logged out before it; if so, end the session.

    Args:
        work: The session's.
        is_entered: What `enter` has returned. If it is false, the list is asked only now and then.
        has_other_lifetime: Whether the write has changed the lifetime, so that the list must follow immediately.

    Raises:
        UnavailableError: The store is down, and the session was written for the first time.
    """
    if not is_entered:
        await _look_now_and_then(work, is_due=has_other_lifetime)
        return
    claim = claim_of(work)
    if claim is None or work.state is GONE:
        return
    if await Devices(work.records).enter(claim):
        work.content.new_device, work.content.is_unverified = None, False
        work.records.owners.note(claim.ids[0])
        if claim.is_new and work.records.policy.max_devices:
            await _finish(work, claim.owned)
    else:
        await _end(work, claim)


async def renew(work: UnitOfWork) -> None:
    """Renew the list with the session, and enter a session that is missing there.

    The npm original may have given it another id, for example.
    """
    await _look_now_and_then(work)


async def leave(work: UnitOfWork) -> None:
    """Take the device that the session was out of its owner's list."""
    former, work.content.former = work.content.former, None
    if former is None or owned(work.content.attributes) == Owned(former.owner, former.device):  # it was undone
        return
    device, devices = Owned(former.owner, former.device), Devices(work.records)
    try:
        if former.is_log_out:
            await devices.end(device)
        else:
            await devices.leave(device, work.records.driver.kept_id(work.id))
    except UnavailableError as error:  # the session itself is saved, and a look at the list finds that it is gone
        logger.warning("could not take session %s out of its owner's list: %s", ids.shorten(work.id), error)


def claim_of(work: UnitOfWork) -> Claim | None:
    """The place of a session in its owner's list; None if it has no owner."""
    there = owned(work.content.attributes)
    if there is None:
        return None
    is_new = there.device == work.content.new_device
    own_ids, old = [work.id], None if is_new else work.old
    while old is not None:
        if not old.is_trail:
            own_ids.append(old.id)
        old = old.before
    details = work.records.policy.device_details
    find_client = work.content.find_client
    client = None if find_client is None else find_client()
    return Claim(
        owned=there,
        ids=list(map(work.records.driver.kept_id, own_ids)),
        is_new=is_new,
        address=_address(client) if "address" in details else None,
        user_agent=_user_agent(client) if "userAgent" in details else None,
        lifetime=own_lifetime(work.content.attributes),
    )


async def _look_now_and_then(work: UnitOfWork, *, is_due: bool = False) -> None:
    if work.state is not STORED:
        return
    records = work.records
    driver = records.driver.driver if isinstance(records.driver, HashedDriver) else records.driver
    is_due |= isinstance(driver, PlainDriver)  # without versions, each save may bring back a destroyed session
    claim = claim_of(work)
    seconds = records.policy.renew_after / 1000 or _LOOKED_FOR_AFTER
    if claim is None:
        return
    if not is_due and (work.is_passive or not records.owners.is_due(claim.ids[0], seconds)):
        return
    try:
        if await Devices(records).enter(claim, renews=True):
            records.owners.note(claim.ids[0])
        else:
            await _end(work, claim)
    except UnavailableError as error:  # the session itself is saved
        logger.warning("could not look for session %s in its owner's list: %s", ids.shorten(work.id), error)


async def _end(work: UnitOfWork, claim: Claim) -> None:
    """End a session whose device was logged out."""
    await Devices(work.records).sessions.destroy(claim.owned, claim.ids)
    logger.info("session %s was logged out by its owner; nothing is saved", ids.shorten(work.id))
    work.note("not_resurrected")
    work.trace.saved = "gone"
    work.enter(GONE)


async def _finish(work: UnitOfWork, device: Owned) -> None:
    """Log out the devices above `maxDevices`; if that fails, a later look at the list does it."""
    try:
        await Devices(work.records).finish(device.owner)
    except UnavailableError as error:
        logger.warning("could not end the devices above maxDevices: %s", error)


def _address(client: Client | None) -> str | None:
    return None if client is None or not client.remote_ip else client.remote_ip[:_LONGEST_ADDRESS]


def _user_agent(client: Client | None) -> str | None:
    """What the browser says about itself; it may be anything."""
    said = None if client is None else client.headers.get("User-Agent")
    if not said:
        return None
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in said[:_LONGEST_USER_AGENT])
