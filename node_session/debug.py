"""A panel for your pages in development: the session's content and history.

    Application(routes, ui_modules={"SessionPanel": SessionPanel}, session_panel=True, debug=True, …)

    {% module SessionPanel() %}      in a template

It shows a visitor's own session: the shortened id, the cookie's attributes, the stored text, this request's changes so
far, and the reports of earlier requests. Without the setting ``session_panel`` it is empty, so that its line can stay
in the template. With that setting but without Tornado's ``debug``, it raises an error.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from typing import Any

from tornado.template import Template
from tornado.web import UIModule

from . import ids, serializer
from .errors import SessionError
from .events import OnEvent
from .farewell import shorten_tokens
from .outlook import predict
from .response import HeldResponse
from .session import Session, work_of
from .work import UnitOfWork

# The limits of the panel: sessions that it remembers, requests of each, and characters of a stored text that it shows.
_SESSIONS = 100
_REQUESTS = 30
_CHARACTERS = 20_000

# In indented JSON, an object or list without another one inside.
_small_containers = re.compile(r"[\[{][^\[\]{}]*[\]}]")


class SessionPanel(UIModule):
    """The panel, as a module for Tornado's templates; see `node_session.debug`.

    The application's setting ``session_panel`` switches it on; ``debug`` must be on as well.
    """

    def render(self) -> str:
        """The panel as HTML with its style sheet; empty if it is not switched on.

        Raises:
            SessionError: It is switched on, but the application does not run in debug mode.
        """
        settings = self.handler.settings
        if not settings.get("session_panel"):
            return ""
        if not settings.get("debug"):
            raise SessionError(
                "SessionPanel shows what sessions hold, so it runs in debug mode only: Application(debug=True); "
                "switch it off by the setting session_panel=False"
            )
        session = getattr(self.request, "session", None)
        if not isinstance(session, Session) or not session.is_started:
            return _TEMPLATE.generate(session=None).decode()
        work = work_of(session)
        cookie = _cookie(getattr(self.handler, "_held_response", None))  # first: the report then says why not
        return _TEMPLATE.generate(
            session=session,
            report=session.report,
            outlook=predict(work),
            cookie=cookie,
            stored=_pretty(work.trace.base),
            duration=_duration,
            printable=_printable,
            notes=_notes,
            request=self.request,
            history=_History.of(work).of_session(session),
            stats={name: count for name, count in vars(work.records.events.stats).items() if count},
        ).decode()


def _printable(text: str) -> str:
    """Escape lone surrogates in a text: JSON may contain them, a page may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cookie(response: HeldResponse | None) -> list[str]:
    """The attributes of the cookie that this response will carry; empty for no cookie."""
    line = None if response is None else response.cookie_line()
    return [] if line is None else line.split("; ")[1:]


def _pretty(stored: str | None) -> str:
    """Indent a stored text, and shorten its CSRF tokens."""
    attributes = serializer.loads(stored) if stored is not None else {}
    shorten_tokens(attributes)
    text = _small_containers.sub(_on_one_line, json.dumps(attributes, indent=2, ensure_ascii=False))
    more = len(text) - _CHARACTERS
    return _printable(text if more <= 0 else f"{text[:_CHARACTERS]}\n… {more} characters more")


def _on_one_line(match: re.Match[str]) -> str:
    line = re.sub(r"\n\s*", " ", match[0])
    return line if len(line) < 60 else match[0]


def _notes(report: dict[str, Any]) -> str:
    """Compose the second line about an earlier request."""
    notes = [
        "" if report["found"] == "found" else report["found"],
        _printable(", ".join(report["changed"])),
        *(f"{each} {report[each]}" for each in ("conflicts", "merged") if report[each]),
    ]
    return " · ".join(filter(None, notes))


def _duration(microseconds: int) -> str:
    return f"{microseconds} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


class _History:
    """The reports of earlier requests, by session; an event listener like `on_event`.

    Args:
        others: The previous listener, which still gets all events.
    """

    def __init__(self, others: OnEvent | None) -> None:
        self._others = others
        self._requests: OrderedDict[str, deque[dict[str, Any]]] = OrderedDict()

    @classmethod
    def of(cls, work: UnitOfWork) -> _History:
        """The program's history; it begins with the first panel shown."""
        events = work.records.events
        if not isinstance(events.on_event, cls):
            events.on_event = cls(events.on_event)
        return events.on_event

    def of_session(self, session: Session) -> list[dict[str, Any]]:
        """The reports of a session's last requests, the newest first."""
        return list(self._requests.get(ids.shorten(session.get_id()), ()))

    def __call__(self, name: str, attributes: dict[str, Any]) -> None:
        if name == "node_session.request":
            short = {key.rpartition(".")[2]: value for key, value in attributes.items()}
            requests = self._requests.setdefault(short["id"], deque(maxlen=_REQUESTS))
            requests.appendleft(short)
            self._requests.move_to_end(short["id"])
            if len(self._requests) > _SESSIONS:
                self._requests.popitem(last=False)
        if self._others is not None:
            self._others(name, attributes)


# Tornado's templates escape the values in double braces.
_TEMPLATE = Template(
    """
<section class="session-panel" aria-label="Your session">
<style>
.session-panel { --ink: #e6e9f0; --dim: #97a0b5; --line: #2b3347; box-sizing: border-box; padding: 18px 20px;
  color-scheme: dark; scrollbar-width: thin; scrollbar-color: #43506e transparent;
  border-radius: 14px; background: #161b29; color: var(--ink); font-size: 13px; line-height: 1.5; text-align: left }
.session-panel * { box-sizing: border-box }
.session-panel h2 { margin: 0 0 10px; font-weight: 600; font-size: 15px; letter-spacing: 0; color: var(--ink) }
.session-panel h3 { margin: 18px 0 6px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--dim);
  font-weight: 600; font-size: 11px; letter-spacing: .08em; text-transform: uppercase }
.session-panel p { margin: 4px 0 }
.session-panel dl { display: grid; grid-template-columns: 5.5em 1fr; gap: 3px 10px; margin: 0 }
.session-panel dt { color: var(--dim) }
.session-panel dd { margin: 0; overflow-wrap: anywhere }
.session-panel code, .session-panel pre { font: 12px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; color: #b9e0ff;
  background: none }
.session-panel pre { max-height: 19em; margin: 6px 0 0; padding: 10px 12px; overflow: auto; border-radius: 8px;
  background: #0e1220; white-space: pre-wrap; overflow-wrap: anywhere }
.session-panel ol { max-height: 27em; margin: 6px 0 0; padding: 0; overflow: auto; list-style: none }
.session-panel li { display: grid; grid-template-columns: 5.6em 1fr auto; gap: 0 8px; padding: 4px 0 }
.session-panel li small { grid-column: 2 / 4; color: var(--dim); overflow-wrap: anywhere }
.session-panel time { color: var(--dim); font-variant-numeric: tabular-nums }
.session-panel b { display: inline-block; align-self: start; padding: 0 7px; border-radius: 9px; background: #33405c;
  font-weight: 600; font-size: 11px; line-height: 18px; text-align: center; white-space: nowrap }
.session-panel b.saved { background: #1f6f4a } .session-panel b.touched { background: #2b5c8a }
.session-panel b.gone, .session-panel b.failed { background: #8a2f3c }
.session-panel .now b { margin-right: 5px }
.session-panel .tags span { display: inline-block; margin: 0 4px 3px 0; padding: 0 7px; border: 1px solid var(--line);
  border-radius: 6px; font-size: 12px }
</style>
<h2>Your session</h2>
{% if session is None %}
<p>No session was started for this request.</p>
{% else %}
<dl>
  <dt>id</dt><dd><code>{{ report.id }}</code></dd>
  <dt>kept in</dt><dd>{{ report.driver }}, {{ report.size }} bytes</dd>
  <dt>cookie</dt><dd><code>{{ session.get_name() }}</code>
    <div class="tags">{% for attribute in cookie %}<span>{{ attribute }}</span>{% end %}
      {% if not cookie %}{{ report.cookie }}{% end %}</div></dd>
</dl>
<h3>This request</h3>
<p class="now"><b class="{{ outlook.saved.replace(" ", "-") }}">{{ outlook.label }}</b>
  {{ request.method }} {{ request.path }}</p>
<dl>
  <dt>loaded</dt><dd>{{ report.found }}, in {{ duration(report.load_microseconds) }}</dd>
  <dt>changes</dt><dd>{{ printable(outlook.changes) }}</dd>
  <dt>so far</dt><dd>{{ "%.1f" % (request.request_time() * 1000) }} ms</dd>
</dl>
<h3>Stored text it found</h3>
<pre>{{ stored }}</pre>
<h3>Requests before</h3>
<ol>
  {% for each in history %}
  <li><b class="{{ each["saved"].replace(" ", "-") }}">{{ each["saved"] }}</b>
    <span>{{ each["method"] }} {{ each["path"] }}</span>
    <time>{{ duration(each["load_microseconds"] + each["save_microseconds"]) }}</time>
    {% if notes(each) %}<small>{{ notes(each) }}</small>{% end %}</li>
  {% end %}
  {% if not history %}<li><small>None yet under this id.</small></li>{% end %}
</ol>
<h3>All sessions since the start</h3>
<p>{{ ", ".join("%s %d" % (name.replace("_", " "), count) for name, count in stats.items()) or "nothing yet" }}</p>
{% end %}
</section>
""",
    name="session panel",
    whitespace="all",  # the stored text keeps its lines
)
