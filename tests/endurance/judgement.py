"""The bounds of an endurance run. None of them depends on the speed of the machine.

- Nothing is lost, and nothing is there that should not be: no change twice, none that was undone, no session after its
  log-out.
- Each answer is a 200, as the store is healthy. (The time limits of the config are long, since on a busy machine a
  short one would be exceeded.)
- The memory in use grows by at most 5 % between the end of the warm-up and the end, and so does the number of Python's
  objects. Both times nothing is under way, all sessions have expired and are removed, and caches with a bound are
  empty, so both should be the same; one leaked object for each request would be far more. The resident memory is shown,
  but not judged: it has what is free but lies between things in use, which is a few percent more or less by chance.
- When the program has closed its sessions, no task and no file descriptor of it is left, and nothing was logged as an
  error, in particular no exception that nobody retrieved.
- Something was checked, and sessions have expired: otherwise all of the above would mean little.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from .client import Tally

MOST_GROWTH = 0.05
SHOWN = 5


@dataclass
class Findings:
    """The result of a run.

    Attributes:
        tally: The visitors' observations.
        warm: The server's measures after the warm-up; None if the run was too short for it.
        end: The same, at the end.
        left: The tasks, files and errors that were left when the server had finished.
    """

    tally: Tally
    warm: dict[str, Any] | None
    end: dict[str, Any]
    left: dict[str, Any]

    def growth(self, of: str) -> float | None:
        """The part by which a measure has grown since the warm-up."""
        return None if self.warm is None else self.end[of] / self.warm[of] - 1

    def more(self) -> str:
        """The kinds of objects of which there are more now than after the warm-up, most first."""
        more = Counter(self.end["kinds"])
        more.subtract(self.warm["kinds"])
        return ", ".join(f"{count} more {kind}" for kind, count in more.most_common(SHOWN) if count > 0)


def judge(findings: Findings) -> list[str]:
    """Return the exceeded bounds, each as a sentence; an empty list if all is well."""
    tally, left, exceeded = findings.tally, findings.left, []
    if tally.problems:
        exceeded.append(_tell(f"{tally.counts['lost']} changes lost; sessions with a wrong content", tally.problems))
    if tally.refused:
        exceeded.append(_tell("answers other than 200", tally.refused))
    for measure in ("memory", "objects"):
        growth = findings.growth(measure)
        if growth is not None and growth > MOST_GROWTH:
            more = f" ({findings.more()})" if findings.more() else ""
            exceeded.append(f"{measure} grew by {growth:.1%} after the warm-up, more than {MOST_GROWTH:.0%}{more}")
    for name, what in (("tasks", "tasks left"), ("files", "file descriptors left"), ("errors", "errors logged")):
        if left[name]:
            exceeded.append(_tell(what, left[name]))
    if not tally.counts["checked"]:
        exceeded.append("no change was checked")
    return exceeded


def _tell(what: str, found: list[str]) -> str:
    more = "" if len(found) <= SHOWN else f" and {len(found) - SHOWN} more"
    return f"{what}: {len(found)}: {'; '.join(found[:SHOWN])}{more}"
