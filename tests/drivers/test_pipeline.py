"""Commands sent together: each caller gets the answer to its own command, even if others fail."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import sys

import hiredis
import pytest
import redis.asyncio
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError
from servers import Server, start

from drivers.proxy import Proxy
from node_session.drivers.pipeline import Pipeline
from node_session.drivers.turn import Kind, Turn


@pytest.fixture(scope="module")
def server():
    running = start("redis")
    yield running
    running.stop()


class Asked:
    """A pipeline to a server by way of a proxy, and a client of its own."""

    def __init__(self, proxy: Proxy, client: redis.asyncio.Redis, pipeline: Pipeline) -> None:
        self.proxy, self.client, self.pipeline = proxy, client, pipeline

    def ask(self, *command, repeatable: bool = False) -> asyncio.Future:
        """Send a command about no key in particular; gives a future of its answer."""
        return asyncio.ensure_future(answer(self.pipeline, *command, repeatable=repeatable))

    async def outcomes(self, *commands: tuple) -> list:
        """The results of concurrent commands."""
        return await asyncio.gather(*(self.ask(*command) for command in commands), return_exceptions=True)

    async def echoes(self, number: int = 20) -> bool:
        """Whether each of so many concurrent commands is answered by its own text."""
        texts = [secrets.token_bytes(8) for _ in range(number)]
        return await self.outcomes(*(("ECHO", text) for text in texts)) == texts

    def connections(self) -> int:
        """The number of connections so far."""
        return len(self.proxy.writers) // 2


async def answer(pipeline: Pipeline, *command, repeatable: bool = False) -> object:
    """The answer to a command, or its error raised."""
    outcome = await pipeline.ask("", *command, repeatable=repeatable)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run(server: Server, scenario, *, connections: int = 10, seconds: float = 10) -> None:
    async def main() -> None:
        async with Proxy(server.port) as proxy, redis.asyncio.Redis(port=server.port, password="pass word") as client:
            pool = redis.asyncio.ConnectionPool(
                host="127.0.0.1",
                port=proxy.port,
                password="pass word",
                protocol=2,
                socket_timeout=None,
                max_connections=connections,
            )
            pipeline = Pipeline(pool, connections, seconds)
            await client.flushall()
            await scenario(Asked(proxy, client, pipeline))
            await pipeline.close()
            await pool.aclose()

    asyncio.run(asyncio.wait_for(main(), 20))


async def until(condition) -> None:
    while not await condition():
        await asyncio.sleep(0.01)


def test_one_connection_for_one_turn_of_the_loop(server):
    """What is asked for in one turn goes over one connection; so does what is asked for when it is back."""

    async def scenario(asked):
        for _ in range(3):
            assert await asked.echoes()
        assert asked.connections() == 1

    run(server, scenario)


def test_turns_do_not_wait_for_each_other(server):
    """While one turn waits for its answers, the next one is answered on another connection."""

    async def scenario(asked):
        waiting = asked.ask("BLPOP", "list", 0)
        await asyncio.sleep(0.1)
        assert await asked.echoes()
        await asked.client.rpush("list", "pushed")
        assert await waiting == [b"list", b"pushed"] and asked.connections() == 2
        assert await asked.echoes()

    run(server, scenario)


def test_first_come_first_served(server):
    """While all connections are busy, commands wait; then they are sent together, in the order in which they came."""

    async def scenario(asked):
        blocked = asked.ask("BLPOP", "list", 0)
        await asyncio.sleep(0.1)
        waiting = []
        for number in range(20):
            waiting.append(asked.ask("RPUSH", "order", number))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert not await asked.client.exists("order")
        await asked.client.rpush("list", "pushed")
        await blocked
        assert await asyncio.gather(*waiting) == list(range(1, 21))
        assert await asked.client.lrange("order", 0, -1) == [b"%d" % number for number in range(20)]
        assert asked.connections() == 1

    run(server, scenario, connections=1)


def test_nobody_waits_any_more(server, monkeypatch):
    """When all requests of a turn have given up, it frees its place in a moment, and its connection is closed."""

    async def scenario(asked):
        blocked = [asked.ask("BLPOP", "list", 0) for _ in range(2)]
        await asyncio.sleep(0.1)
        waiting = asked.ask("ECHO", "a")
        blocked[0].cancel()
        await asyncio.sleep(0.1)
        assert not waiting.done()
        blocked[1].cancel()
        assert await waiting == b"a" and await asked.echoes()
        assert asked.connections() == 2

    monkeypatch.setattr("node_session.drivers.turn.MOMENT", 0.01)
    run(server, scenario, connections=1, seconds=60)


def test_errors_are_their_askers_own(server):
    """A command the server refuses, or that is none, fails alone."""

    async def scenario(asked):
        with pytest.raises(TypeError):
            await asked.ask("ECHO", object())
        refused, answer, unknown, last = await asked.outcomes(
            ("INCR",), ("ECHO", "a"), ("NO-SUCH-COMMAND",), ("ECHO", "b")
        )
        assert isinstance(refused, ResponseError) and isinstance(unknown, ResponseError)
        assert (answer, last) == (b"a", b"b")
        assert await asked.echoes() and asked.connections() == 1

    run(server, scenario)


def test_two_commands_of_one_asker(server):
    """Two commands of one asker are answered together; if the server refuses one of them, that is the outcome."""

    async def scenario(asked):
        pairs = [
            asked.pipeline.ask("", "ECHO", f"{number}", also=("ECHO", f"{-number}"), repeatable=True)
            for number in range(9)
        ]
        refused = [
            asked.pipeline.ask("", "ECHO", "a", also=("INCR",), repeatable=True),
            asked.pipeline.ask("", "INCR", also=("ECHO", "a"), repeatable=True),
        ]
        answers = await asyncio.gather(*pairs[:4], *refused, *pairs[4:], asked.ask("ECHO", "last"))
        errors, answers = answers[4:6], answers[:4] + answers[6:]
        assert {type(error) for error in errors} == {ResponseError}
        assert answers == [*([b"%d" % number, b"%d" % -number] for number in range(9)), b"last"]
        assert await asked.echoes() and asked.connections() == 1

    run(server, scenario)


def test_cancelled_while_on_its_way(server):
    """The answers of those who gave up are read and dropped; nobody else's answer, now or later, is theirs."""

    async def scenario(asked):
        assert await asked.echoes()
        asked.proxy.mute = True
        texts = [b"%d" % number for number in range(20)]
        answers = [asked.ask("ECHO", text) for text in texts]
        await asyncio.sleep(0.1)
        for answer in answers[::3]:
            answer.cancel()
        asked.proxy.mute = False
        kept = [number for number in range(20) if number % 3]
        assert [await answers[number] for number in kept] == [texts[number] for number in kept]
        assert await asked.echoes() and asked.connections() == 1

    run(server, scenario)


def test_cancelled_before_it_was_sent(server):
    """Commands of callers that no longer wait are not sent."""

    async def scenario(asked):
        given_up, kept = asked.ask("SET", "a", "1"), asked.ask("SET", "b", "1")
        await asyncio.sleep(0)
        given_up.cancel()
        await kept
        assert await asked.client.keys() == [b"b"]
        given_up = asked.ask("SET", "a", "1")
        await asyncio.sleep(0)
        given_up.cancel()
        assert await asked.echoes() and await asked.client.keys() == [b"b"]

    run(server, scenario)


def test_no_answer_in_time(server):
    """Who was answered in time has his answer; the others fail in time, and what comes late is nobody's answer."""

    async def scenario(asked):
        first, blocked, last = await asked.outcomes(("ECHO", "a"), ("BLPOP", "list", 0), ("ECHO", "b"))
        assert first == b"a" and isinstance(blocked, asyncio.TimeoutError) and isinstance(last, asyncio.TimeoutError)
        await asked.client.rpush("list", "late")
        for _ in range(3):
            assert await asked.echoes()
        assert asked.connections() == 2

    run(server, scenario, seconds=0.5)


def test_no_connection_in_time(server):
    """A command that has waited too long for a connection fails, and is not sent afterwards."""

    async def scenario(asked):
        async def hold(turn: Turn) -> None:
            for each in turn.take():  # so that it is not ended when its time is over
                await released.wait()
                each.tell(None)

        released = asyncio.Event()
        holding = asyncio.ensure_future(asked.pipeline._turns.ask(Kind(hold), ""))
        await asyncio.sleep(0.1)
        with pytest.raises(asyncio.TimeoutError):
            await asked.ask("SET", "late", "1")
        released.set()
        await holding
        assert await asked.echoes() and await asked.client.keys() == []

    run(server, scenario, connections=1, seconds=0.3)


def test_cut_off(server):
    """If the connection breaks, unanswered commands fail immediately, and nothing is sent twice."""

    async def scenario(asked):
        answers = asyncio.gather(
            *(asked.ask(*command) for command in (("INCR", "n"), ("BLPOP", "list", 0), ("INCR", "n"))),
            return_exceptions=True,
        )
        await until(lambda: asked.client.get("n"))
        asked.proxy.cut()
        first, blocked, last = await answers
        assert first == 1 and isinstance(blocked, RedisError) and isinstance(last, RedisError)
        assert await asked.echoes() and await asked.client.get("n") == b"1"

    run(server, scenario)


def test_connection_that_broke_off_is_not_used_again(server, monkeypatch):
    """Whatever breaks off the reading of answers, the unread ones are nobody else's."""

    async def scenario(asked):
        read, broken = redis.asyncio.Connection.read_response, []

        async def break_off(connection, *args, **options):
            answer = await read(connection, *args, **options)
            if answer == b"break" and not broken:
                broken.append(connection)
                raise RuntimeError("broken off")
            return answer

        monkeypatch.setattr(redis.asyncio.Connection, "read_response", break_off)
        first, *failed = await asked.outcomes(("ECHO", "a"), ("ECHO", "break"), ("BLPOP", "list", 0), ("ECHO", "b"))
        assert first == b"a" and [str(error) for error in failed] == ["broken off"] * 3
        assert await asked.echoes() and asked.connections() == 2

    run(server, scenario, seconds=2)


def test_closed_meanwhile(server):
    """What is on its way when it is closed is answered, or fails when its time is over; then one may ask again."""

    async def scenario(asked):
        sent = asked.ask("BLPOP", "list", 0)
        await asyncio.sleep(0.1)
        waiting = asked.ask("ECHO", "a")
        await asked.pipeline.close()
        for _ in range(3):
            await asyncio.sleep(0)
        assert sent.done() and waiting.done()
        with pytest.raises(asyncio.TimeoutError):
            await sent
        assert await waiting == b"a" and await asked.echoes()

    run(server, scenario, seconds=1)


def test_silent_connection(server):
    """What may be asked twice is asked on another connection; what must not is still answered, if late."""

    async def scenario(asked):
        assert await asked.echoes()
        asked.proxy.forget(answers=True)
        written, read = asked.ask("INCR", "n"), asked.ask("GET", "n", repeatable=True)
        assert await read == b"1" and not written.done()
        asked.proxy.unanswered = 0
        assert await written == 1 and await asked.client.get("n") == b"1"
        assert asked.connections() == 2

    run(server, scenario, seconds=6)


async def fill_pool(asked: Asked) -> None:
    """Have four idle connections."""
    waiting = []
    for _ in range(4):  # each needs a connection of its own
        waiting.append(asked.ask("BLPOP", "list", 0))
        await asyncio.sleep(0.1)
    await asked.client.rpush("list", *"abcd")
    await asyncio.gather(*waiting)
    assert asked.connections() == 4


def test_siblings_of_a_silent_connection(server):
    """No connection that was idle while another was silent is used again."""

    async def scenario(asked):
        await fill_pool(asked)
        asked.proxy.forget()
        assert await asked.ask("GET", "n", repeatable=True) is None
        assert await asyncio.gather(*(asked.ask("INCR", "n") for _ in range(4))) == [1, 2, 3, 4]
        assert asked.connections() == 5

    run(server, scenario, seconds=4)


def test_siblings_of_a_connection_that_was_too_slow(server):
    """Nor is one that was idle while a command that may not be repeated had no answer in time."""

    async def scenario(asked):
        await fill_pool(asked)
        asked.proxy.forget()
        with pytest.raises(asyncio.TimeoutError):
            await asked.ask("INCR", "n")
        assert await asyncio.gather(*(asked.ask("INCR", "n") for _ in range(4))) == [1, 2, 3, 4]
        assert asked.connections() == 5

    run(server, scenario, seconds=2)


class Fake:
    """A server whose first connection refuses what changes something, in given words."""

    def __init__(self, refusal: str, times: int = 1) -> None:
        self.refusal = refusal
        self.times = times
        self.asked: list[tuple[int, bytes]] = []
        self.connections = 0

    async def serve(self, reader, writer) -> None:
        self.connections += 1
        number = self.connections
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while command := parser.gets():
                refused = number <= self.times and command[0] == b"SET"
                writer.write(f"-{self.refusal}\r\n".encode() if refused else b"+OK\r\n")
                if command[0] != b"CLIENT":
                    self.asked.append((number, command[0]))
        writer.close()


REFUSALS = {
    "READONLY You can't write against a read only replica.": ReadOnlyError,
    "LOADING Redis is loading the dataset in memory": BusyLoadingError,
    "MASTERDOWN Link with MASTER is down": MasterDownError,
    "ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write": ResponseError,
}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused(refusal, times):
    """A command refused by a replica, or a starting server, is retried once, on a new connection."""

    async def main():
        fake = Fake(refusal, times)
        listening = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        pool = redis.asyncio.ConnectionPool(host="127.0.0.1", port=port, protocol=2, socket_timeout=None)
        pipeline = Pipeline(pool, 10, 10)
        assert await pipeline.ask("a", "GET", "a") == b"OK"
        got = await asyncio.gather(pipeline.ask("a", "GET", "a"), pipeline.ask("a", "SET", "a", "1"))
        assert got[0] == b"OK"
        if times == 1:
            assert got[1] == b"OK" and await pipeline.ask("a", "SET", "a", "1") == b"OK"
        else:
            assert isinstance(got[1], REFUSALS[refusal])
        assert fake.asked[:4] == [(1, b"GET"), (1, b"GET"), (1, b"SET"), (2, b"SET")]
        await pipeline.close()
        await pool.aclose()
        listening.close()

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks yet")
def test_eager_tasks(server):
    """A loop that starts tasks eagerly changes nothing but the speed."""

    async def scenario(asked):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        assert await asked.echoes(5)

    run(server, scenario)


def test_nobody_gets_the_answer_of_another(server):
    """Requests that give up, answers that are late and connections that break, at random: no answer goes astray."""
    dice = random.Random(1)
    outcomes = {"answered": 0, "cut off": 0, "given up": 0}

    async def scenario(asked):
        async def visit(number: int) -> None:
            for turn in range(100):
                await asyncio.sleep(dice.random() * 0.02)
                text = b"%d/%d" % (number, turn)
                asking = asyncio.ensure_future(asyncio.wait_for(asked.ask("ECHO", text), dice.choice([10, 0.02])))
                if dice.random() < 0.1:
                    asyncio.get_running_loop().call_later(dice.random() * 0.02, asking.cancel)
                try:
                    assert await asking == text
                    outcomes["answered"] += 1
                except (asyncio.CancelledError, asyncio.TimeoutError):
                    outcomes["given up"] += 1
                except (RedisError, OSError):
                    outcomes["cut off"] += 1

        async def disturb() -> None:
            while True:
                await asyncio.sleep(dice.random() * 0.04)
                asked.proxy.mute = not asked.proxy.mute
                if dice.random() < 0.5:
                    asked.proxy.cut()

        disturbing = asyncio.ensure_future(disturb())
        await asyncio.gather(*(visit(number) for number in range(20)))
        disturbing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await disturbing
        asked.proxy.mute = False
        assert await asked.echoes()

    run(server, scenario, connections=3, seconds=0.1)
    assert min(outcomes.values()) > 20, outcomes
