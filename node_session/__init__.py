"""Server-side sessions for Tornado: the npm package node-session, on the same cookie and the same records.

from tornado.web import Application, RequestHandler
from node_session import NodeSession, SessionMixin

class Views(SessionMixin, RequestHandler):
    def get(self):
        self.write(f"You were here {self.session.increment('views')} times.")

sessions = NodeSession({"secret": "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD"})
application = Application([("/", Views)], node_session=sessions)
"""

from .errors import (
    ConfigError,
    ConfigWarning,
    ConflictError,
    DamagedError,
    GoneError,
    HeadersSentError,
    MismatchError,
    PathError,
    SerializationError,
    SessionError,
    TooLargeError,
    UnavailableError,
    UnreadableError,
)
from .session import NodeSession
from .store import Store
from .web import SessionMixin

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "ConfigWarning",
    "ConflictError",
    "DamagedError",
    "GoneError",
    "HeadersSentError",
    "MismatchError",
    "NodeSession",
    "PathError",
    "SerializationError",
    "SessionError",
    "SessionMixin",
    "Store",
    "TooLargeError",
    "UnavailableError",
    "UnreadableError",
]
