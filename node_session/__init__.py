"""Server-side sessions for Tornado: npm's node-session, on its cookie and records.

from tornado.web import Application, RequestHandler
from node_session import NodeSession, SessionMixin

class Views(SessionMixin, RequestHandler):
    def get(self):
        self.write(f"You were here {self.session.increment('views')} times.")

sessions = NodeSession({"secret": "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD"})
application = Application([("/", Views)], node_session=sessions)
"""

from .config import Config
from .device import Device
from .drivers import Driver, Record
from .encryption import Encrypter
from .errors import (
    ConfigError,
    ConfigWarning,
    ConflictError,
    DamagedError,
    GoneError,
    HeadersSentError,
    MismatchError,
    NotTextError,
    PathError,
    SerializationError,
    SessionError,
    TooLargeError,
    UnavailableError,
    UnreadableError,
    UnsupportedError,
)
from .manager import NodeSession
from .report import Report
from .session import Session
from .starting import session_of
from .web import SessionMixin

Store = Session
"""The original's name for `Session`."""

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConfigError",
    "ConfigWarning",
    "ConflictError",
    "DamagedError",
    "Device",
    "Driver",
    "Encrypter",
    "GoneError",
    "HeadersSentError",
    "MismatchError",
    "NodeSession",
    "NotTextError",
    "PathError",
    "Record",
    "Report",
    "SerializationError",
    "Session",
    "SessionError",
    "SessionMixin",
    "Store",
    "TooLargeError",
    "UnavailableError",
    "UnreadableError",
    "UnsupportedError",
    "session_of",
]
