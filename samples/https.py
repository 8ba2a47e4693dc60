"""HTTPS: the cookie goes over https only, and files in ./sessions are encrypted.

    python samples/https.py [port]

The openssl command makes the certificate at the start, so the browser will warn you of it.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin

SESSIONS = NodeSession(
    {
        "secret": "a-secret-for-this-sample-only-never-for-yours",
        "cookie": "__Host-session",  # browsers take a cookie of such a name over https only, and from this host only
        "secure": True,
        "encrypt": True,
    }
)


class Page(SessionMixin, RequestHandler):
    """A page that keeps a note."""

    def get(self) -> None:
        self.render("https.html", note=self.session.get("note", ""), status=self.session.get("status", ""))

    def post(self) -> None:
        if not self.session.verify_token(self.get_body_argument("_token", "")):
            self.send_error(403)
            return
        self.session.put("note", self.get_body_argument("note", ""))
        self.session.flash("status", "Saved.")
        self.redirect("/")


def make_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for localhost, valid for a day."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext {names}".split()
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)  # noqa: S603
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def main(port: int = 3443) -> None:
    """Serve until the process is ended."""
    application = Application([("/", Page)], node_session=SESSIONS, template_path=str(Path(__file__).parent))
    with tempfile.TemporaryDirectory() as folder:
        application.listen(port, "127.0.0.1", ssl_options=make_certificate(Path(folder)))
    print(f"https://127.0.0.1:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
