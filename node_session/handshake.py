"""The save of a WebSocket's session, right before the handshake."""

from __future__ import annotations

from tornado.websocket import WebSocketHandler, WebSocketProtocol

from .errors import UnavailableError
from .open_sockets import OpenSockets
from .refusals import unavailable
from .saving import save_or_confirm
from .session import Session, work_of


def save_before_handshake(handler: WebSocketHandler, session: Session, sockets: OpenSockets) -> None:
    """Save the session before Tornado accepts the connection, or answer 503."""
    get_protocol = handler.get_websocket_protocol

    def get_websocket_protocol() -> WebSocketProtocol | None:
        protocol = get_protocol()
        if protocol is not None:
            accept = protocol.accept_connection

            async def accept_connection(handler: WebSocketHandler) -> None:
                try:
                    await _save(session)
                except UnavailableError as error:
                    raise unavailable(error) from error
                with sockets.watching(handler, work_of(session)):
                    await accept(handler)  # until the connection is closed

            protocol.accept_connection = accept_connection  # type: ignore[method-assign]
        return protocol

    handler.get_websocket_protocol = get_websocket_protocol  # type: ignore[method-assign]


async def _save(session: Session) -> None:
    """Save the changes of `prepare`: the handshake sends the cookie, and cannot wait."""
    work = work_of(session)
    if work.is_untouched and not work.is_ended:
        session.get_token()  # a value to store: no later response can send the cookie
    await save_or_confirm(work)
