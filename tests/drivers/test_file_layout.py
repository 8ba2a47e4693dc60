"""The layout of session-file-store: `<id>.json`, with the time of last activity inside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time

import pytest

from node_session import ConflictError
from node_session.drivers import FileDriver
from node_session.drivers.file_layout import ExpressLayout
from node_session.errors import UnsupportedError
from node_session.testing import DriverContract

ID = "kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD"
HOUR = 3_600_000
COOKIE = '"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}'


def run(coroutine):
    return asyncio.run(coroutine)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sessions"


@pytest.fixture
def file(folder):
    folder.mkdir(mode=0o700)
    return folder / f"{ID}.json"


@pytest.fixture
def driver(folder):
    return FileDriver(folder, HOUR, layout=ExpressLayout)


class TestContract(DriverContract):
    """The driver keeps the contract in this layout as well, for text of any kind."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "deep" / "sessions"

    def make_driver(self, lifetime):
        return FileDriver(self.folder, lifetime, layout=ExpressLayout)

    async def age(self, driver, id, milliseconds):
        file = self.folder / f"{id}.json"
        then = file.stat().st_mtime - milliseconds / 1000
        try:
            record = json.loads(file.read_text())
            record["__lastAccess"] -= milliseconds
            file.write_text(json.dumps(record, separators=(",", ":")))
        except (ValueError, KeyError, TypeError):
            pass  # a record that is no session has the time of its file
        os.utime(file, (then, then))


def test_file(driver, folder):
    """The time is the last member; reading gives the text without it."""
    before = int(time.time() * 1000)
    run(driver.write(ID, f'{{{COOKIE},"a":1}}', None))
    text = (folder / f"{ID}.json").read_text()
    record = json.loads(text)
    assert text == f'{{{COOKIE},"a":1,"__lastAccess":{record["__lastAccess"]}}}'
    assert before <= record["__lastAccess"] <= time.time() * 1000
    assert run(driver.read(ID)).payload == f'{{{COOKIE},"a":1}}'
    run(driver.destroy(ID))
    run(driver.write(ID, "{}", None))
    assert run(driver.read(ID)).payload == "{}"


def stored(file, milliseconds_ago: float, *, max_age=None, after: str = "") -> None:
    """Write a file as Express does."""
    cookie = COOKIE.replace("null", json.dumps(max_age), 1)
    last_access = int(time.time() * 1000 - milliseconds_ago)
    file.write_text(f'{{{cookie},"a":1,"__lastAccess":{last_access}{after}}}')


@pytest.mark.parametrize(
    ("ago", "max_age", "is_there"),
    [
        (HOUR - 60_000, None, True),
        (HOUR + 60_000, None, False),
        (HOUR + 60_000, 2 * HOUR, True),
        (2 * HOUR + 60_000, 2 * HOUR, False),
        (120_000, 180_000, True),
        (120_000, 60_000, False),
        (HOUR - 60_000, 0, True),  # as in session-file-store, 0 is none
    ],
)
def test_expiry_of_express(driver, file, ago, max_age, is_there):
    """A record expires when it does for session-file-store, for a reader, a listing and gc."""
    stored(file, ago, max_age=max_age)
    assert (run(driver.read(ID)) is not None) is is_there

    async def scanned():
        return [entry.id async for entry in driver.scan()]

    assert run(scanned()) == [ID] * is_there
    os.utime(file, (1, 1))  # which says nothing
    assert (run(driver.read(ID)) is not None) is is_there
    assert run(driver.gc(HOUR)) == (not is_there)
    assert file.exists() is is_there


@pytest.mark.parametrize("last_access", ["null", '"x"', "-1", "1e999", "1e300", "true", "[]"])
def test_a_time_that_is_none(driver, file, last_access):
    """Then the file's own time counts."""
    file.write_text(f'{{{COOKIE},"__lastAccess":{last_access}}}')
    assert run(driver.read(ID)) is not None
    os.utime(file, (1, 1))
    assert run(driver.read(ID)) is None


@pytest.mark.parametrize("after", ["", ',"b":2', ',"b":"__lastAccess","c":{"__lastAccess":5}'])
@pytest.mark.parametrize("idle", [0, 1000, -HOUR])
def test_touch(driver, file, after, idle):
    """A touch renews the time in the file, wherever Express has put it, and changes nothing else."""
    stored(file, 60_000, max_age=2 * HOUR, after=after)
    before = json.loads(file.read_text())
    record = run(driver.read(ID))
    now = time.time() * 1000
    run(driver.touch(ID, idle=idle - HOUR))  # two hours' lifetime, in a driver of one hour
    assert file.read_text().count('"__lastAccess":') == 1 + after.count('"__lastAccess":')
    renewed = json.loads(file.read_text())
    assert now - idle - 1 <= renewed.pop("__lastAccess") <= time.time() * 1000 - idle
    del before["__lastAccess"]
    assert renewed == before
    assert run(driver.confirm(ID, record.version, idle=-HOUR))
    run(driver.write(ID, f"{{{COOKIE}}}", record.version))  # a touch keeps the version


@pytest.mark.parametrize("text", ['{"a":1}\n', ' {"a":1,"__lastAccess":%d}', ' {"__lastAccess":%d}', '{"a":1 } \r\n'])
def test_touch_of_a_file_with_blanks(driver, file, text):
    """It stays JSON: somebody may have written it with an editor."""
    last_access = int(time.time() * 1000) - 60_000
    file.write_text(text % last_access if "%" in text else text)
    record = run(driver.read(ID))
    run(driver.touch(ID))
    renewed = json.loads(file.read_text())
    assert renewed.pop("__lastAccess") > last_access
    assert renewed == ({"a": 1} if '"a"' in text else {})
    assert run(driver.confirm(ID, record.version))


@pytest.mark.parametrize("lifetime", [0, HOUR])
@pytest.mark.parametrize("max_age", ["null", 2 * HOUR, 100 * 365 * 24 * HOUR])
@pytest.mark.parametrize("text", ["a", "\\ud800"])
def test_any_record_is_stamped(folder, lifetime, max_age, text):
    """The time is there, and not in the text, whatever the lifetimes are, and with half of a surrogate pair."""
    driver, before = FileDriver(folder, lifetime, layout=ExpressLayout), int(time.time() * 1000)
    text = f'{{{COOKIE.replace("null", str(max_age), 1)},"a":"{text}"}}'
    run(driver.write(ID, text, None))
    last_access = json.loads((folder / f"{ID}.json").read_text())["__lastAccess"]
    assert last_access >= (before if lifetime == 0 else 0)
    assert run(driver.read(ID)).payload == text


def test_touch_of_nothing(driver, file):
    """A touch of an absent or an expired record makes none."""
    run(driver.touch(ID))
    assert not file.exists()
    stored(file, 2 * HOUR)
    text = file.read_text()
    run(driver.touch(ID))
    assert file.read_text() == text


@pytest.mark.parametrize(("ago", "is_there"), [(HOUR - 60_000, True), (HOUR + 60_000, False)])
def test_alive(driver, file, ago, is_there):
    """Only the time inside the record says whether it has expired."""
    stored(file, ago)
    for time_of_file in (1, time.time()):
        os.utime(file, (time_of_file, time_of_file))
        assert run(driver.alive([ID, "absent"])) == ({ID} if is_there else set())


def test_a_touch_that_loses_a_race(driver, file, monkeypatch):
    """Express may write a record between our look and our renewal of it: the record stays as it is there."""
    stored(file, 60_000)
    layout = driver._layout

    def unstamp(content):
        file.write_text(f'{{{COOKIE},"a":2}}')
        return content

    monkeypatch.setattr(layout, "unstamp", unstamp)
    run(driver.touch(ID))
    assert file.read_text() == f'{{{COOKIE},"a":2}}'


def test_a_destruction_after_a_touch_of_express(driver, file):
    """A record of which only the times have changed is the version that was read, so it is destroyed."""
    stored(file, 60_000)
    version = run(driver.read(ID)).version
    stored(file, 0)
    run(driver.destroy(ID, version))
    assert not file.exists()


def test_a_touch_of_express_is_no_conflict(driver, file):
    """Express rewrites the file with each request; if only the times differ, it is the same version."""
    stored(file, 60_000, max_age=HOUR)
    version = run(driver.read(ID)).version
    file.write_text(file.read_text().replace('"expires":null', '"expires":"2026-11-26T21:35:04.000Z"'))
    stored_text = file.read_text()
    run(driver.write(ID, f'{{{COOKIE},"a":2}}', version))
    assert file.read_text() != stored_text


@pytest.mark.parametrize(
    "change", [('"a":1', '"a":true'), ('"a":1', '"a":1.5'), ('"path":"/"', '"path":"/x"'), (":1,", ":2,")]
)
def test_other_changes_of_express_are(driver, file, change):
    """Any other change is a conflict, in the cookie as well."""
    stored(file, 60_000)
    version = run(driver.read(ID)).version
    file.write_text(file.read_text().replace(*change))
    text = file.read_text()
    with pytest.raises(ConflictError):
        run(driver.write(ID, f'{{{COOKIE},"a":2}}', version))
    with pytest.raises(ConflictError):
        run(driver.destroy(ID, version))
    assert file.read_text() == text


@pytest.mark.parametrize("id", ["a/b", "../a", ".a", "..", "ü" * 130])
def test_ids_that_are_no_file_names(driver, folder, id):
    """Such an id of `genid` is an error that says so, and nothing is written."""
    for ask in (driver.read(id), driver.write(id, "{}", None), driver.touch(id), driver.destroy(id)):
        with pytest.raises(UnsupportedError, match="cannot be the name of a file: the driver 'file' takes no ids"):
            run(ask)
    assert not folder.exists()


@pytest.mark.parametrize("id", [ID, "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "a.b", "a+b=", "ann 7", "ü", "x.json"])
def test_ids_that_are(driver, folder, id):
    """Others are names."""
    run(driver.write(id, f"{{{COOKIE}}}", None))
    assert (folder / f"{id}.json").exists()

    async def scanned():
        return [entry.id async for entry in driver.scan()]

    assert run(scanned()) == [id]
    run(driver.set_aside(id, f"{{{COOKIE}}}"))
    assert run(scanned()) == []
    (aside,) = folder.glob(".damaged-*")
    assert re.fullmatch(r"\.damaged-[A-Za-z0-9_-]{6}-[0-9a-f]{24}", aside.name)


def test_other_files_stay(driver, folder):
    """A sweep leaves alone what is no record: other names, and the temporary files of session-file-store."""
    folder.mkdir(mode=0o700)
    names = ["A" * 40, f"{ID}.json.123456", ".hidden.json", "README.md", ".json"]
    for name in names:
        (folder / name).write_text("{}")
        os.utime(folder / name, (1, 1))
    assert run(driver.gc(1)) == 0
    assert sorted(each.name for each in folder.iterdir() if not each.name.startswith(".lock")) == sorted(names)
