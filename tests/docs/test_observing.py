"""The programs of docs/observing.md trace and count what happens to sessions."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from docs.pages import ROOT, blocks_of
from docs.serving import served
from node_session import Report

PAGE = "docs/observing.md"


@pytest.fixture
def start(tmp_path):
    """Starts a program of the page, and visits it as one user; gives the answers, and what it has printed."""

    def start(containing: str, *paths: str) -> tuple[list[str], str]:
        (program,) = (each.text for each in blocks_of(ROOT / PAGE) if containing in each.text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (tmp_path / "program.py").write_text(program.replace("3000", str(port)))
        process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        try:
            for _ in range(2000):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.05)
            answers, cookie = [], ""
            for path in paths:
                request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Cookie": cookie})
                with urllib.request.urlopen(request) as response:
                    answers.append(response.read().decode())
                    cookie = (response.headers["Set-Cookie"] or cookie).partition(";")[0]
        finally:
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate()
        return answers, printed

    return start


def test_opentelemetry(start):
    """Each request has a span with the events of its session, and one below it with the session's report."""
    # When the third is answered, the spans of the first two have been printed.
    answers, printed = start("TornadoInstrumentor", "/", "/", "/")
    assert answers[:2] == ["You were here 1 times.", "You were here 2 times."]
    spans = [json.loads(text) for text in re.findall(r"^\{\n.*?^\}", printed, re.M | re.S)]
    sessions = [each for each in spans if each["name"] == "session"][:2]
    requests = [each for each in spans if each["kind"] == "SpanKind.SERVER"][:2]
    assert [each["attributes"]["node_session.found"] for each in sessions] == ["new", "found"]
    assert [each["attributes"]["node_session.saved"] for each in sessions] == ["saved", "saved"]
    assert [each["parent_id"] for each in sessions] == [each["context"]["span_id"] for each in requests]
    events = [event["name"] for each in requests for event in each["events"]]
    assert events.count("node_session.saved") == 2 and "node_session.created" in events


def test_prometheus(start):
    """The page of metrics counts the events and the requests, and has the time of each save."""
    *_, metrics = start("prometheus_client", "/", "/", "/metrics")[0]
    counted = dict(re.findall(r"^(node_session\S+) (\S+)$", metrics, re.M))
    assert counted['node_session_events_total{event="created"}'] == "1.0"
    assert counted['node_session_events_total{event="saved"}'] == "2.0"
    assert counted['node_session_requests_total{saved="saved"}'] == "2.0"
    assert counted["node_session_save_seconds_count"] == "2.0"
    assert 0 < float(counted["node_session_save_seconds_sum"]) < 60


def test_log_line():
    """The line on the page, which is wrapped there, is one that a report would give."""
    (line,) = (each.text.strip() for each in blocks_of(ROOT / PAGE) if each.language == "text")
    report = Report(
        "x7Bq2a…", "file", "found", ("flash.old", "cart.mug", "status"), "saved", 1, 1, "sent", 312, 85, 412
    )
    assert line.replace("\n", " ") == f"POST /cart/add: {report}"


def test_panel(run, io_loop):
    """The panel is on the page of the example."""
    application = run(PAGE, "class Home")["application"]

    async def scenario() -> None:
        async with served(application) as visitor:
            assert b"Your session" in (await visitor.get("/")).body

    io_loop.run_sync(scenario)
