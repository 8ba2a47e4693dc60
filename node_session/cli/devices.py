"""devices, and destroy --owner: the devices on which a user is logged in."""

from __future__ import annotations

import argparse
import time

from ..device import Device
from ..devices import Devices
from ..errors import ConfigError
from ..owners import check_owner
from .open_store import OpenStore, open_store
from .outcome import ATTENTION, DONE, Outcome
from .spelling import columns, plural, span


async def devices(options: argparse.Namespace) -> Outcome:
    """List the devices of a user."""
    owner = _owner(options.owner)
    async with open_store(options.config) as store:
        found = await Devices(store.records).find(owner)
    rows = [("USED", "BEGAN", "ADDRESS", "BROWSER"), *map(_row, found)]
    text = [columns(rows)] if found else []
    return Outcome("\n".join([*text, plural(len(found), "device")]), [_as_data(each) for each in found])


async def destroy_owner(store: OpenStore, owner: str) -> Outcome:
    """Log a user out on all devices."""
    count = await Devices(store.records).log_out(_owner(owner))
    text = f"logged {plural(count, 'device')} out"
    return Outcome(text, {"destroyed": count}, DONE if count else ATTENTION)


def _owner(owner: str) -> str:
    try:
        return check_owner(owner)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _row(device: Device) -> tuple[str, str, str, str]:
    now = time.time()
    used, began = (f"{span((now - each.timestamp()) * 1000)} ago" for each in (device.used, device.began))
    return used, began, device.address or "", device.user_agent or ""


def _as_data(device: Device) -> dict[str, str | None]:
    return {
        "id": device.id,
        "began": device.began.isoformat(),
        "used": device.used.isoformat(),
        "address": device.address,
        "userAgent": device.user_agent,
    }
