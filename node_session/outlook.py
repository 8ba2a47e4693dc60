"""The probable outcome of a session when its request ends, for the panel."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

from . import serializer
from .content import Content
from .errors import SerializationError
from .flash import settle_flash
from .report import changed_keys
from .state import GONE
from .work import UnitOfWork


class Outlook(NamedTuple):
    """A prediction.

    Attributes:
        saved: A word as in `Report.saved`.
        label: That word for a person, as a prediction.
        changes: The changed keys; without any, the fate of the record.
    """

    saved: str
    label: str
    changes: str


def predict(work: UnitOfWork) -> Outlook:
    """Predict the end of a session's request."""
    if work.state is GONE:
        return Outlook("gone", "gone", "none is saved: its record is destroyed, or kept under another id")
    if work.is_withheld:
        return Outlook("withheld", "withheld", "none is saved: another site made this request")
    if work.is_passive and work.is_new:
        return Outlook("left alone", "left alone", "none is saved: the request is passive, and found no session")
    if work.is_untouched:
        if work.old is not None:
            return Outlook("destroyed", "will be destroyed", "its record is destroyed, and no other stored")
        return Outlook("left alone", "left alone", "nothing: no empty session is stored")
    after = Content()
    try:
        after.attributes = serializer.loads(serializer.dumps(work.content.attributes))
    except SerializationError:
        keys = changed_keys(work.trace.base, work.content.attributes)
        return Outlook("failed", "failed", ", ".join(keys))
    after.ages_flash, after.passing = work.content.ages_flash, copy(work.content.passing)
    settle_flash(after)
    changed = changed_keys(work.trace.base, after.attributes)
    names = ", ".join(changed) or "none of its keys, but the record is written"
    if work.trace.saved == "saved" and work.is_current and not changed_keys(work.base, after.attributes):
        return Outlook("saved", "saved", names)
    if changed or not work.is_current:
        return Outlook("saved", "will be saved", names)
    return _of_unchanged(work)


def _of_unchanged(work: UnitOfWork) -> Outlook:
    saved = work.trace.saved
    if work.is_passive:
        return Outlook(saved, "unchanged", "nothing; the request is passive, so its last activity stays as it is")
    if work.wants_touch:
        return Outlook("touched", "unchanged", "nothing, so only its last activity is renewed")
    if saved == "touched":
        return Outlook(saved, "unchanged", "nothing; its last activity was renewed in this request")
    return Outlook(saved, "unchanged", f"nothing; it was active {work.idle:.0f} s ago, so it is left alone")
