"""`rewrap`: records under old secrets get the present one."""

from __future__ import annotations

from visitors import OLD_SECRET, SECRET

from cli.shop import ANN, BOB, EVE
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.cli import ATTENTION, WRONG
from node_session.drivers import FileDriver
from node_session.legacy_encryption import LegacyEncrypter


def test_rewrap(shop):
    """Rewrap brings old secrets and the original's format to the present ones, and a second run finds nothing."""
    text = shop.stored()
    shop.put(ANN, LegacyEncrypter([OLD_SECRET]).encrypt(text[ANN], ANN))
    shop.put(BOB, AuthenticatedEncrypter([OLD_SECRET]).encrypt(text[BOB], BOB))
    shop.put(EVE, AuthenticatedEncrypter([SECRET]).encrypt(text[EVE], EVE))
    config = shop.write("sessions.json", encrypt=True, secret=[SECRET, OLD_SECRET])
    assert shop.json("rewrap", config) == {"rewritten": 2, "current": 1, "damaged": 0, "busy": 0}
    assert {id: AuthenticatedEncrypter([SECRET]).decrypt(each, id) for id, each in shop.stored().items()} == text
    assert shop.run("rewrap", config).strip() == "rewritten: 0, current already: 3, left as they were: 0"


def test_rewrap_reports_what_is_still_old(shop):
    """A record under a forgotten secret stays as it is, and is told of."""
    text = AuthenticatedEncrypter([OLD_SECRET]).encrypt("{}", ANN)
    shop.run("destroy", shop.config, "--all", "--yes")
    shop.put(ANN, text)
    out = shop.run("rewrap", shop.write("sessions.json", encrypt=True), code=ATTENTION)
    assert "left as they were: 1; unreadable under this config: 1" in out
    assert "encrypted under none of the secrets" in shop.errors
    assert shop.stored() == {ANN: text}


def test_rewrap_loses_no_write(shop, monkeypatch):
    """A session that writes while its record is rewritten keeps what it wrote."""
    shop.run("destroy", shop.config, "--all", "--yes")
    shop.put(ANN, LegacyEncrypter([SECRET]).encrypt('{"n":1}', ANN))
    write = FileDriver.write
    writes = []

    async def late(self, id, payload, version):
        if not writes:
            shop.put(ANN, LegacyEncrypter([SECRET]).encrypt('{"n":2}', ANN))
        writes.append(id)
        return await write(self, id, payload, version)

    monkeypatch.setattr(FileDriver, "write", late)
    assert shop.json("rewrap", shop.write("sessions.json", encrypt=True))["rewritten"] == 1
    assert AuthenticatedEncrypter([SECRET]).decrypt(shop.stored()[ANN], ANN) == '{"n":2}' and len(writes) == 2


def test_rewrap_without_encryption(shop):
    """If nothing is encrypted, rewrap says so."""
    shop.run("rewrap", shop.config, code=WRONG)
    assert "encrypt is off" in shop.errors
