"""`copy`: every session to another store, once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
from visitors import OLD_SECRET, SECRET

from cli.shop import ANN, BOB, sails_disk
from node_session import NodeSession
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.cli import ATTENTION, WRONG
from node_session.drivers import FileDriver
from node_session.legacy_encryption import LegacyEncrypter


def test_copy(shop):
    """Copy brings every session to another store, byte for byte, and leaves the first as it is."""
    before = shop.stored()
    assert shop.run("copy", shop.config, shop.write("new.json")).strip() == "copied 3 sessions"
    assert shop.stored("new.json") == shop.stored() == before


def test_copy_again(shop):
    """A second copy goes on where the first was interrupted, and overwrites nothing."""
    new = shop.write("new.json")
    shop.put(ANN, '{"newer":1}', name="new.json")
    assert shop.json("copy", shop.config, new) == {"copied": 2, "present": 1, "damaged": 0}
    assert shop.json("copy", shop.config, new) == {"copied": 0, "present": 3, "damaged": 0}
    assert shop.stored("new.json")[ANN] == '{"newer":1}'


def test_copy_that_is_killed(shop):
    """A copy that is killed half way has copied whole records only, and a second one brings the rest."""
    for number in range(1500):
        shop.put(f"{number:040d}", json.dumps({"number": number, "pad": "x" * 500}))
    new = shop.write("new.json", encrypt=True)
    with subprocess.Popen([sys.executable, "-m", "node_session", "copy", shop.config, new]) as process:
        while process.poll() is None and len(list(shop.files("new.json").glob("0*"))) < 100:
            time.sleep(0.005)
        process.kill()
    before = shop.stored("new.json")
    counts = shop.json("copy", shop.config, new)
    assert counts["present"] == len(before) < 1503 == counts["present"] + counts["copied"]
    copied = {id: AuthenticatedEncrypter([SECRET]).decrypt(text, id) for id, text in shop.stored("new.json").items()}
    assert copied == shop.stored()


def test_copy_to_a_driver_without_versions(shop):
    """A driver that would overwrite what is there is not asked to."""
    texts = {ANN: '{"newer":1}'}

    class Plain:
        def read(self, id):
            return texts.get(id)

        def write(self, id, text):
            texts[id] = text

        def destroy(self, id):
            del texts[id]

    NodeSession.register_handler("plain", lambda config: Plain())
    assert shop.json("copy", shop.config, shop.write("new.json", driver="plain"))["copied"] == 2
    assert texts[ANN] == '{"newer":1}' and len(texts) == 3
    shop.run("ls", str(shop.folder / "new.json"), code=WRONG)
    assert "Plain cannot list its records" in shop.errors


@pytest.mark.parametrize(
    ("before", "after"), [(False, True), ("legacy", True), (True, "legacy"), (True, False), ("legacy", False)], ids=str
)
def test_copy_encrypts_again(shop, before, after):
    """Copied records are decrypted and encrypted as the two configs say, under each one's secret."""
    makers = {True: AuthenticatedEncrypter, "legacy": LegacyEncrypter}
    texts = shop.stored()
    if before:
        for id, text in texts.items():
            shop.put(id, makers[before]([OLD_SECRET]).encrypt(text, id))
    source = shop.write("sessions.json", encrypt=before, secret=OLD_SECRET)
    assert shop.json("copy", source, shop.write("new.json", encrypt=after))["copied"] == 3
    for id, payload in shop.stored("new.json").items():
        assert (makers[after]([SECRET]).decrypt(payload, id) if after else payload) == texts[id]


def test_copy_leaves_damage_behind(shop):
    """A damaged record is told of and not copied, and the others are."""
    shop.put("D" * 40, '{"cut off')
    assert shop.json("copy", shop.config, shop.write("new.json"), code=ATTENTION) == {
        "copied": 3,
        "present": 0,
        "damaged": 1,
    }
    assert "DDDDDD… is not copied: its text is not JSON" in shop.errors and "D" * 40 not in shop.errors


def test_copy_looks_twice(shop, monkeypatch):
    """A record that the original is just writing is not taken for a damaged one."""
    scan = FileDriver.scan

    async def at_a_bad_moment(self):
        async for entry in scan(self):
            yield entry._replace(payload="")

    monkeypatch.setattr(FileDriver, "scan", at_a_bad_moment)
    assert shop.json("copy", shop.config, shop.write("new.json"))["copied"] == 3


def test_copy_hashed(shop):
    """Records under hashes are copied as they are to a store with hashIds, and nowhere else."""
    hashed = shop.write("hashed.json", hashIds=True)
    shop.run("copy", shop.config, hashed)
    assert ANN not in shop.stored("hashed.json")
    assert shop.json("copy", hashed, shop.write("other.json", hashIds=True))["copied"] == 3
    assert shop.stored("other.json") == shop.stored("hashed.json")
    assert shop.json("show", shop.write("other.json", hashIds=True), ANN)["attributes"]["user"]["name"] == "Ann"
    shop.run("copy", hashed, shop.write("plain.json"), code=WRONG)
    assert "hashIds" in shop.errors and not shop.files("plain.json").exists()


def test_hashed_and_encrypted(shop):
    """Where a hash of the id is all there is, encrypted records are copied unread, and read by their whole id only."""
    sealed = shop.write("sealed.json", hashIds=True, encrypt=True)
    shop.run("copy", shop.config, sealed)
    assert shop.json("copy", sealed, shop.write("other.json", hashIds=True, encrypt=True))["copied"] == 3
    assert shop.stored("other.json") == shop.stored("sealed.json")
    assert shop.json("show", sealed, ANN)["attributes"]["user"]["name"] == "Ann"
    kept = shop.json("ls", sealed, "--whole")[0]["id"]
    assert "cookie" in shop.json("show", sealed, kept, code=ATTENTION)["damage"]
    shop.run("copy", sealed, shop.write("new.json", hashIds=True, encrypt=True, secret=OLD_SECRET), code=WRONG)
    shop.run("rewrap", sealed, code=WRONG)
    shop.run("ls", sealed, "--user", "user.name=Ann", code=WRONG)


@pytest.mark.parametrize("encrypt", [None, LegacyEncrypter([SECRET]).encrypt], ids=["plain", "encrypted"])
def test_copy_out_of_sails_disk(shop, encrypt):
    """The data file of the original's sails-disk, as that wrote it, is copied into a store."""
    new = shop.write("new.json")
    assert shop.json("copy", sails_disk(shop, encrypt=encrypt), new) == {"copied": 1, "present": 0, "damaged": 0}
    (text,) = shop.stored("new.json").values()
    assert re.fullmatch(r'\{"_token":"[\w-]{40}","name":"Jörg","flash":\{"old":\[\],"new":\[\]\}\}', text)


def test_copy_out_of_sails_disk_with_damage(shop):
    """Of such a file, expired rows are left out, damaged ones told of, and a missing table is an error."""
    new = shop.write("new.json")
    disk = sails_disk(shop, id=BOB, payload='"not JSON"')
    assert shop.json("copy", disk, new, code=ATTENTION) == {"copied": 1, "present": 0, "damaged": 1}
    assert shop.json("copy", sails_disk(shop, idle=3601), new)["present"] == 0
    shop.run("copy", disk, shop.write("other.json", table="other"), code=WRONG)
    assert "has no table 'other', but 'sessions'" in shop.errors


def test_progress_on_a_terminal(shop, monkeypatch):
    """On a terminal a bar tells how far a copy is; elsewhere nothing does."""
    new = shop.write("new.json")
    shop.run("copy", shop.config, new)
    assert shop.errors == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shop.run("copy", shop.config, new)
    assert f"\r[{'#' * 40}] 3 of 3\n" in shop.errors
