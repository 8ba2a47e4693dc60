"""The check of a request's CSRF token, wherever the format of its session looks for one."""

from __future__ import annotations

from tornado.web import HTTPError, RequestHandler

from .formats import Format
from .origin import is_cross_site
from .session import Session, work_of


def check(handler: RequestHandler, session: Session) -> None:
    """Refuse a request that another site made, or that lacks its session's token.

    Raises:
        tornado.web.HTTPError: 403.
    """
    if is_cross_site(handler.request.headers):
        raise HTTPError(403, reason="Refused: another site made this request (Sec-Fetch-Site)")
    format = format_of(session)
    given = _sent(handler, format)
    if not given:
        field = format.token_field
        raise HTTPError(403, reason=f"CSRF token missing: send it as the form field {field} or as X-CSRF-Token")
    if not any(map(session.verify_token, given)):
        raise HTTPError(403, reason="CSRF token wrong: it is not this session's, or the session has expired")


def format_of(session: Session) -> Format:
    """The format of a session's program."""
    return work_of(session).content.format


def _sent(handler: RequestHandler, format: Format) -> list[str]:
    sent = [
        *(handler.get_body_argument(name, "") for name in format.token_fields),
        *(handler.get_query_argument(name, "") for name in format.token_queries),
        *(handler.request.headers.get(name, "") for name in format.token_headers),
    ]
    return [token for token in sent if token]
