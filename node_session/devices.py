"""The devices of an owner: entered at a login, listed, logged out.

    await devices.enter(claim)          # False: it was logged out meanwhile
    await devices.log_out("ann")

A login enters its device first, then writes the session, and then looks whether the device is still in the list. A
log-out first marks the devices in the list, then destroys their sessions. So however the two interleave, one of them
destroys the session, and no cookie of it is sent. Each step may be repeated, and is taken up by the next call if a
process is killed before it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from .device import Claim, Device, describe
from .device_sessions import DeviceSessions
from .owners import Owned
from .records import Records
from .roster import Entry, Roster, drop, has_rest, is_rest, logged_in, mark
from .rosters import Rosters

# Milliseconds for which a device counts although it has no session: its login may be under way.
_YOUNG = 60_000

# At every so many devices of an owner, and ids of a device, those that are gone are removed. Asking for them each time
# would make a login of somebody with many devices slow.
_STEP = 8


class Devices:
    """The devices of all owners.

    Args:
        records: All records of the program.

    Attributes:
        sessions: Their sessions.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._rosters = Rosters(records)
        self.sessions = DeviceSessions(records)

    async def enter(self, claim: Claim, *, renews: bool = False) -> bool:
        """Enter a session in its owner's list, unless it is there.

        Args:
            claim: The session.
            renews: Whether the session has just been renewed, so that the list must live on as well.

        Returns:
            False if the device was logged out: the session must end.

        Raises:
            UnavailableError: The store is down; the session may be in the list or not.
        """
        device = claim.owned.device

        async def change(rosters: list[Roster]) -> bool:
            ours = rosters[0]
            found = [roster.entries[device] for roster in rosters if device in roster.entries]
            if any(each.ended is not None for each in found):
                return False
            if not found and not claim.is_new and claim.owned.began <= max(each.out for each in rosters):
                return False
            entry = ours.entries.get(device)
            if entry is not None and claim.ids[0] in entry.ids:
                if entry.lifetime != claim.lifetime:
                    entry.lifetime = claim.lifetime  # the write that follows renews the list as well
                elif renews:
                    await self._rosters.renew(ours)
                return True
            await self._add(ours, claim, found)
            if claim.is_new:
                await self._make_room(claim.owned, rosters)
            return True

        return await self._rosters.change(claim.owned.owner, change)

    async def find(self, owner: str, this: str | None = None) -> list[Device]:
        """Find an owner's devices: this one first, then the last used.

        Args:
            owner: The owner.
            this: The device that is marked as this one.

        Raises:
            UnavailableError: The store cannot tell.
        """
        rosters = await self._rosters.read(owner)
        if has_rest(rosters):
            await self.finish(owner)
            rosters = await self._rosters.read(owner)
        there = logged_in(rosters)
        idle_times = await self.sessions.idle_times(owner, there)
        while missing := {device: entry for device, entry in there.items() if device not in idle_times}:
            again = logged_in(await self._rosters.read(owner))  # a session may have got another id meanwhile
            moved = {device: again[device] for device, entry in missing.items() if again.get(device, entry) != entry}
            if not moved:
                break
            there.update(moved)
            idle_times.update(await self.sessions.idle_times(owner, moved))
        dead = {device: entry for device, entry in there.items() if self._is_dead(device, entry, idle_times)}
        if dead:

            async def change(rosters: list[Roster]) -> None:
                drop(rosters, dead)

            await self._rosters.change(owner, change)
        found = [
            describe(Owned(owner, device), there[device], idle, self._now(), is_this=device == this)
            for device, idle in idle_times.items()
        ]
        return sorted(found, key=lambda device: (device.is_this, device.used, device.began), reverse=True)

    async def log_out(self, owner: str, kept: Claim | None = None) -> int:
        """Log an owner out, everywhere or everywhere else.

        Args:
            owner: The owner.
            kept: The session that stays logged in.

        Returns:
            The number of devices whose sessions this has destroyed.

        Raises:
            UnavailableError: The store is down; some may be logged out, and the next call does the rest.
        """
        kept_device = None if kept is None else kept.owned.device

        async def change(rosters: list[Roster]) -> None:
            now = self._now()
            rosters[0].out = now  # also for sessions that are not in the list
            for roster in rosters:
                roster.out = now if roster.text is not None else roster.out
                mark(roster, now, lambda device: device != kept_device)
            if kept is not None and not kept.is_new and not any(kept_device in each.entries for each in rosters):
                await self._add(rosters[0], kept, [])

        await self._change_all(owner, change)
        return await self.finish(owner)

    async def end(self, device: Owned) -> bool:
        """Log one device out.

        Returns:
            Whether this has destroyed a session.

        Raises:
            UnavailableError: The store is down; the next call for this owner does the rest.
        """

        async def change(rosters: list[Roster]) -> None:
            for roster in rosters:
                mark(roster, self._now(), lambda each: each == device.device)

        await self._change_all(device.owner, change)
        return await self.finish(device.owner) > 0

    async def leave(self, device: Owned, id: str) -> None:
        """Take a device out of its owner's list, whose session under this id has another owner by now, or none."""

        async def change(rosters: list[Roster]) -> None:
            for roster in rosters:
                entry = roster.entries.get(device.device)
                if entry is not None:
                    entry.ids = [each for each in entry.ids if each != id]
                    entry.ended, entry.left = entry.ended or self._now(), entry.ended is None or entry.left

        await self._rosters.change(device.owner, change)

    async def finish(self, owner: str) -> int:
        """Destroy the sessions of an owner's marked devices; return how many devices had one."""
        rosters = await self._rosters.read(owner)
        marked = [(device, each.ids) for roster in rosters for device, each in roster.entries.items() if is_rest(each)]
        if not marked:
            return 0
        destroyed = await asyncio.gather(*(self.sessions.destroy(Owned(owner, device), ids) for device, ids in marked))

        async def change(rosters: list[Roster]) -> None:
            done = {(device, *ids) for device, ids in marked}
            for roster in rosters:
                for device, entry in roster.entries.items():
                    if entry.ended is not None and (device, *entry.ids) in done:
                        entry.ids = []

        await self._rosters.change(owner, change)
        return len({device for (device, _), had_one in zip(marked, destroyed, strict=True) if had_one})

    async def _change_all(self, owner: str, change: Callable[[list[Roster]], Awaitable[None]]) -> None:
        """Change all lists. If there are several, others may have entered a session in one that was already changed."""
        for _ in self._records.owners.ids(owner)[:2]:
            await self._rosters.change(owner, change)

    async def _add(self, ours: Roster, claim: Claim, found: list[Entry]) -> None:
        """Put a session at the head of its device's entry, which may be in other lists already."""
        now, ids = self._now(), list(dict.fromkeys([*claim.ids, *(id for each in found for id in each.ids)]))
        if len(ids) % _STEP == 0:
            ids = [*claim.ids, *await self.sessions.there(ids[len(claim.ids) :])]
        address, user_agent = claim.address, claim.user_agent
        for each in found:
            address, user_agent = address or each.address, user_agent or each.user_agent
        ours.entries[claim.owned.device] = Entry(ids, now, address, user_agent, claim.lifetime)
        ours.forget_ended(now)

    async def _make_room(self, new: Owned, rosters: list[Roster]) -> None:
        """Remove the devices that are gone, and mark those above `maxDevices`, the longest unused first."""
        listed, most = logged_in(rosters), self._records.policy.max_devices
        is_full = 0 < most < len(listed)
        if not is_full and len(listed) % _STEP:
            return
        now = self._now()
        idle_times = await self.sessions.idle_times(new.owner, listed)
        drop(rosters, {device: each for device, each in listed.items() if self._is_dead(device, each, idle_times)})
        left = logged_in(rosters)
        excess = len(left) - most if most else 0
        others = sorted((device for device in left if device != new.device), key=lambda device: left[device].at)
        others.sort(key=lambda device: min(idle_times.get(device, math.inf), now - left[device].at), reverse=True)
        ended = set(others[: max(excess, 0)])
        for roster in rosters:
            mark(roster, now, ended.__contains__)

    def _is_dead(self, device: str, entry: Entry, idle_times: dict[str, float]) -> bool:
        return device not in idle_times and self._now() - entry.at > _YOUNG

    def _now(self) -> int:
        return int(self._records.clock() * 1000)
