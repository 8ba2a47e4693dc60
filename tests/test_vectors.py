"""What the npm original was recorded to do (interop/record_vectors.js), and ours does the same without Node."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from world import start_session

from node_session import NodeSession, cookies, serializer
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.config import Config
from node_session.drivers import MemoryDriver
from node_session.events import Events
from node_session.legacy_encryption import LegacyEncrypter
from node_session.transport import Transport

VECTORS = json.loads((Path(__file__).parent / "interop" / "vectors.json").read_text("utf-8"))
SECRET = "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD"
TOKEN = "the-token"


@pytest.mark.parametrize("vector", VECTORS["cookies"], ids=lambda vector: vector["id"][:6])
def test_cookie(vector):
    """The cookie's value is the original's, and is found again."""
    assert cookies.sign(vector["id"], vector["secret"]) == vector["value"]
    found = cookies.find(f"n={vector['value']}", "n", [vector["secret"]])
    assert (found.id, found.value, found.forged) == (vector["id"], vector["value"], False)


@pytest.mark.parametrize("vector", VECTORS["attributes"], ids=lambda vector: str(vector["options"]))
@pytest.mark.filterwarnings("ignore::node_session.ConfigWarning")
def test_attributes(vector):
    """Set-Cookie has the original's attributes, in the original's order."""
    config = Config.from_dict({"secret": SECRET, "sameSite": None, **vector["options"]})
    transport = Transport(config, Events("memory"), NodeSession(config))
    line = transport.set_cookies[bool(config.secure), config.expire_on_close].line("VALUE")
    assert re.sub("Expires=[^;]*", "Expires=DATE", line) == vector["line"]


@pytest.mark.parametrize("vector", VECTORS["encrypted"], ids=lambda vector: repr(vector["text"][:10]))
def test_encrypted(vector):
    """The legacy encrypter writes the original's text, and both of ours read it."""
    secrets, text, encrypted = [vector["secret"]], vector["text"], vector["encrypted"]
    assert LegacyEncrypter(secrets).encrypt(text, "") == encrypted
    assert LegacyEncrypter(secrets).decrypt(encrypted, "") == text
    assert AuthenticatedEncrypter(secrets).decrypt(encrypted, "") == text


@pytest.mark.parametrize("vector", VECTORS["json"], ids=lambda vector: repr(vector["value"]))
def test_json(vector):
    """Numbers and strings are written as JSON.stringify writes them, whether they were read as int or float."""
    text = vector["value"]
    assert serializer.dumps(serializer.loads(text)) == text
    value = serializer.loads(text)["value"]
    if isinstance(value, int):
        assert serializer.dumps({"value": float(value)}) == text


@pytest.mark.parametrize("vector", VECTORS["dates"], ids=lambda vector: vector["text"])
def test_dates(vector):
    """Dates are written as JSON.stringify writes them."""
    date = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=vector["ms"])
    assert serializer.dumps({"date": date}) == f'{{"date":{vector["text"]}}}'


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


@pytest.mark.parametrize(
    "script", VECTORS["scripts"], ids=lambda script: script["name"] + ("-encrypted" if script["encrypt"] else "")
)
def test_script(script):
    """The same calls, request by request, have the same results and leave the same bytes."""

    async def replay():
        driver = MemoryDriver(300_000)
        encrypter = LegacyEncrypter([SECRET])
        id = None
        for request in script["requests"]:
            session = await start_session(driver, id, encrypter=encrypter if script["encrypt"] else None)
            if id is None:
                session.put("_token", TOKEN)
            results = [getattr(session, snake_case(method))(*args) for method, *args in request["calls"]]
            assert json.loads(serializer.dumps({"r": results})) == {"r": request["results"]}
            await session.save()
            id = session.get_id()
            assert (await driver.read(id)).payload == request["stored"]

    asyncio.run(replay())
