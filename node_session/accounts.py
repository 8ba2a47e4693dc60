"""The devices of a user: listed, and logged out, as methods of `NodeSession`.

for device in await sessions.devices("ann", self.session):
    print(device.used, device.address, device.user_agent, device.is_this)
await sessions.log_out("ann", except_=self.session)
"""

from __future__ import annotations

from .device import Claim, Device
from .devices import Devices
from .enlisting import claim_of
from .once import Once
from .owners import Owned, check_owner, is_device
from .quoting import quote
from .records import Records
from .session import Session, work_of


class Accounts:
    """The sessions of a program by their owners; see `Session.set_owner`."""

    _records: Once[Records]

    async def devices(self, owner: str, session: Session | None = None) -> list[Device]:
        """List the devices on which an owner is logged in: this one first, then the last used.

        Args:
            owner: As given to `Session.set_owner`.
            session: The device of this session is marked as this one.

        Raises:
            ValueError: `owner` cannot be one.
            UnavailableError: The store cannot be reached.
        """
        this = _claim_for(session, check_owner(owner))
        return await Devices(await self._records.get()).find(owner, None if this is None else this.owned.device)

    async def log_out(self, owner: str, except_: Session | None = None) -> int:
        """Log an owner out on all devices, or on all others.

        When this returns, no later request has one of these sessions, and no request under way can bring one back.

        Args:
            owner: As given to `Session.set_owner`.
            except_: This session stays logged in.

        Returns:
            The number of devices that were logged in.

        Raises:
            ValueError: `owner` cannot be one.
            UnavailableError: The store cannot be reached: some devices may still be logged in, so repeat it.
        """
        kept = _claim_for(except_, check_owner(owner))
        return await Devices(await self._records.get()).log_out(owner, kept)

    async def end(self, device: Device) -> bool:
        """Log one device out. For that of the request under way, call `Session.invalidate` instead.

        Returns:
            Whether it was logged in.

        Raises:
            UnavailableError: The store cannot be reached: it may still be logged in, so repeat it.
        """
        if not isinstance(device, Device) or not is_device(device.id):
            raise TypeError(f"end() takes a device, as devices() lists them, not {quote(device)}")
        return await Devices(await self._records.get()).end(Owned(check_owner(device.owner), device.id))


def _claim_for(session: Session | None, owner: str) -> Claim | None:
    """The place of a session in the list of this owner; None: it is not there."""
    if session is None:
        return None
    if not isinstance(session, Session):
        raise TypeError(f"this takes a session, such as self.session, not {quote(session)}")
    claim = claim_of(work_of(session))
    return claim if claim is not None and claim.owned.owner == owner else None
