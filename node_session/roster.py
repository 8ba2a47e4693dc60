"""The record that lists the devices of an owner.

    {"_devices": {"owner": "ann", "out": 0, "list": {
        "0199c8a4f3e1…": {"ids": ["…"], "at": 1764160000000, "address": "192.0.2.7", "userAgent": "…"},
        "0199c8a4f101…": {"ids": [], "at": 1764150000000, "ended": 1764160000000, "left": false}
    }}}

It is kept like a session, under an id of its own (`node_session.owners`), and is none. Its `ids` are those under which
the store keeps a device's sessions, the latest first; with `hashIds` they are hashes. `ended` marks a device that was
logged out: first its sessions are destroyed, then its ids are removed. The rest stays for an hour, so that no request
that was under way enters it again. `_lifetime` is that of the session, if it has one of its own: the list lives as
long as the longest of them. If the session itself has `left`, for another owner for example, its old ids stay as
well: for the grace period, requests can read what it held there, until all others are logged out. `out` is when that
was done last. To the npm original such a record is an anonymous session, whose cookie nobody has.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from . import serializer
from .lifetimes import KEY as LIFETIME
from .lifetimes import own_lifetime
from .owners import is_device
from .policy import Policy, is_number

KEY = "_devices"
"""The only key of such a record, reserved in sessions."""

_REMEMBERED = 3_600_000  # milliseconds for which an ended device stays listed


@dataclass(slots=True)
class Entry:
    """A device in the list.

    Attributes:
        ids: The ids under which the store keeps its sessions, the latest first.
        at: When the latest of them was entered, in milliseconds since 1970.
        address: The client's address then.
        user_agent: What the browser said about itself then.
        lifetime: The lifetime of its own that its session has, in milliseconds; None without one.
        ended: When it was logged out, in milliseconds since 1970.
        left: Whether its session has left it then, so that none is to be destroyed.
    """

    ids: list[str]
    at: float
    address: str | None = None
    user_agent: str | None = None
    lifetime: float | None = None
    ended: float | None = None
    left: bool = False


@dataclass(slots=True)
class Roster:
    """Such a record, which need not exist yet.

    Attributes:
        id: The id under which it is kept.
        owner: The owner.
        entries: The devices by their ids.
        out: When all others were logged out, in milliseconds since 1970.
        text: Its text in the store; None: it is not a list, or there is none.
        version: The driver's version of it; None: there is none.
        idle: Milliseconds since its last activity.
    """

    id: str
    owner: str
    entries: dict[str, Entry] = field(default_factory=dict)
    out: float = 0
    text: str | None = None
    version: object = None
    idle: float = math.inf

    def read(self, attributes: dict[str, Any], text: str, is_id: Callable[[object], bool]) -> None:
        """Take over the stored content, unless it is no list of this owner; `is_id` is the rule of the format."""
        if not is_roster(attributes) or attributes[KEY].get("owner") != self.owner:
            return
        there = attributes[KEY]
        self.text = text
        self.out = there["out"] if is_number(there.get("out")) else 0
        self.entries = dict(_entries(there["list"], is_id))

    def compose(self) -> str:
        """The text to store."""
        listed = {device: _spell(entry) for device, entry in self.entries.items()}
        return serializer.dumps({KEY: {"owner": self.owner, "out": self.out, "list": listed}})

    def kept_for(self, policy: Policy) -> float:
        """The idle time to write, in ms: at most 0, and less for sessions that live longer than others.

        The list must live longer than each session, which is renewed for some time before the list is.
        """
        longest = max((entry.lifetime or 0 for entry in self.entries.values()), default=0)
        return -max(0, longest - policy.lifetime if policy.lifetime else 0) - 2 * policy.renew_after

    @property
    def is_needless(self) -> bool:
        """Whether it says nothing that an absent record does not say."""
        return not self.entries and not self.out

    def forget_ended(self, now: float) -> None:
        """Remove the devices that were logged out long ago."""
        for device, entry in list(self.entries.items()):
            if entry.ended is not None and not is_rest(entry) and now - entry.ended > _REMEMBERED:
                del self.entries[device]


def is_roster(attributes: dict[str, Any]) -> bool:
    """Whether a record's content has this form."""
    there = attributes.get(KEY)
    return len(attributes) == 1 and isinstance(there, dict) and isinstance(there.get("list"), dict)


def idle_to_write(attributes: dict[str, Any], policy: Policy, is_id: Callable[[object], bool]) -> float:
    """The idle time, in ms, to write such a record with as it is; see `Roster.read` and `kept_for`."""
    there = Roster("", attributes[KEY].get("owner"))
    there.read(attributes, "", is_id)
    return there.kept_for(policy)


def map_ids(attributes: dict[str, Any], function: Callable[[str], str]) -> dict[str, Any]:
    """A copy of such a record's content, with other ids of sessions: as another store keeps them, or shortened."""
    content = copy.deepcopy(attributes)
    for entry in content[KEY]["list"].values():
        if isinstance(entry, dict) and isinstance(entry.get("ids"), list):
            entry["ids"] = [function(id) if isinstance(id, str) else id for id in entry["ids"]]
    return content


def _entries(listed: dict[str, Any], is_id: Callable[[object], bool]) -> Iterator[tuple[str, Entry]]:
    """The entries of a list, without those that this package has not written."""
    for device, each in listed.items():
        if not is_device(device) or not isinstance(each, dict) or not is_number(each.get("at")):
            continue
        there = each.get("ids")
        if isinstance(there, list) and all(map(is_id, there)):
            ended = each["ended"] if is_number(each.get("ended")) else None
            address, user_agent = _text(each.get("address")), _text(each.get("userAgent"))
            yield (
                device,
                Entry(there, each["at"], address, user_agent, own_lifetime(each), ended, each.get("left") is True),
            )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _spell(entry: Entry) -> dict[str, Any]:
    spelled: dict[str, Any] = {"ids": entry.ids, "at": entry.at}
    for name, value in (("address", entry.address), ("userAgent", entry.user_agent), (LIFETIME, entry.lifetime)):
        if value is not None:
            spelled[name] = value
    return spelled if entry.ended is None else {**spelled, "ended": entry.ended, "left": entry.left}


def logged_in(rosters: list[Roster]) -> dict[str, Entry]:
    """The devices that are logged in, as far as the lists know, with all their ids."""
    listed: dict[str, Entry] = {}
    ended = {device for roster in rosters for device, entry in roster.entries.items() if entry.ended is not None}
    for roster in rosters:
        for device, entry in roster.entries.items():
            if device in listed:
                listed[device] = replace(listed[device], ids=[*listed[device].ids, *entry.ids])
            elif device not in ended:
                listed[device] = entry
    return listed


def mark(roster: Roster, now: float, is_meant: Callable[[str], bool]) -> None:
    """Mark the devices that are meant as logged out, unless they are marked already."""
    for device, entry in roster.entries.items():
        if (entry.ended is None or entry.left) and is_meant(device):
            entry.ended, entry.left = now, False


def drop(rosters: list[Roster], dead: dict[str, Entry]) -> None:
    """Remove devices, unless a session was entered meanwhile."""
    for roster in rosters:
        for device, entry in dead.items():
            if device in roster.entries and set(roster.entries[device].ids) <= set(entry.ids):
                del roster.entries[device]


def is_rest(entry: Entry) -> bool:
    """Whether a marked device's sessions are still to be destroyed."""
    return entry.ended is not None and bool(entry.ids) and not entry.left


def has_rest(rosters: list[Roster]) -> bool:
    """Whether there is such a device."""
    return any(is_rest(entry) for roster in rosters for entry in roster.entries.values())
