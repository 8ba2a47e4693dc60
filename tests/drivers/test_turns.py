"""Operations sent together: each promise of `turns`, on a back-end that does what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable

import pytest

from node_session.drivers.turn import Kind, Turn
from node_session.drivers.turns import Turns


class RefusedError(Exception):
    """The back-end has done nothing."""


class Backend:
    """Answers each operation by its id in capitals, when a test opens its gate; notes what it was sent."""

    def __init__(self, under_way: int = 2, seconds: float = 60, **options) -> None:
        self.turns = Turns(under_way, seconds)
        self.kind = Kind(self.send, is_refusal=lambda error: isinstance(error, RefusedError), **options)
        self.other = Kind(self.send)
        self.gate = asyncio.Event()
        self.gate.set()
        self.sent: list[list[str]] = []
        self.ended: list[list[str]] = []
        self.tasks: list[asyncio.Task | None] = []
        self.askers: list[asyncio.Task] = []
        self.sends_again = False
        self.bad: dict[str, Exception] = {}
        self.under_way = self.most_under_way = self.steps = 0

    async def send(self, turn: Turn) -> None:
        ids = [asked.id for asked in turn.asked]
        self.sent.append(ids)
        self.tasks.append(asyncio.current_task())
        if self.sends_again:
            self.sends_again = False
            turn.again(turn.asked)
            return
        self.until = turn.until
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
            for _ in range(self.steps):
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        self.ended.append(ids)
        for id in ids:
            if id in self.bad:
                raise self.bad[id]
        for asked in turn.asked:
            asked.tell(asked.id.upper())

    def ask(self, id: str, **options) -> asyncio.Task:
        self.askers.append(asyncio.ensure_future(self.turns.ask(options.pop("kind", self.kind), id, **options)))
        return self.askers[-1]

    async def fill(self) -> list[asyncio.Task]:
        """Let as many turns as may be under way wait for the gate."""
        self.gate.clear()
        tasks = []
        for number in range(self.turns._places):
            tasks.append(self.ask(f"first{number}"))
            await settle()
        return tasks


async def settle_until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_one_turn():
    """What is asked for in one turn of the loop goes together; each request gets the answer to its own operation."""

    async def scenario():
        backend = Backend()
        for _ in range(3):
            assert await asyncio.gather(*map(backend.ask, "abc")) == ["A", "B", "C"]
        assert backend.sent == [["a", "b", "c"]] * 3

    run(scenario)


def test_one_at_a_time():
    """Requests that come one at a time send their operations themselves, until some come together again."""

    async def scenario():
        backend = Backend()
        backend.steps = 1
        for id in "abc":
            assert await backend.ask(id) == id.upper()
        assert backend.tasks[0] not in backend.askers
        assert set(backend.tasks[1:]) <= set(backend.askers)
        assert await asyncio.gather(*map(backend.ask, "abcd")) == list("ABCD")
        assert await asyncio.gather(*map(backend.ask, "abcd")) == list("ABCD")
        assert backend.sent[3:] == [["a"], ["b", "c", "d"], ["a", "b", "c", "d"]]
        assert not backend.turns._under_way and backend.turns._places == 2

    run(scenario)


@pytest.mark.parametrize("end", ["answered", "failed", "refused", "cancelled", "too late", "closed", "sent again"])
def test_the_end_of_one_alone(end, monkeypatch):
    """However an operation ends that its request sends itself: it has its outcome, its place is free, others go on."""
    monkeypatch.setattr("node_session.drivers.turns.MOMENT", 0.01)

    async def scenario():
        backend = Backend(under_way=1, seconds=0.1 if end == "too late" else 60)
        await backend.ask("first")
        error = RefusedError("a") if end == "refused" else OSError("broken")
        if end in ("failed", "refused"):
            backend.bad["a"] = error
        if end != "sent again":
            backend.gate.clear()
        backend.sends_again = end == "sent again"
        alone = backend.ask("a")
        await settle()
        if end not in ("too late", "sent again"):
            next_one = backend.ask("b")
            await settle()
            assert backend.sent == [["first"], ["a"]]
        if end == "cancelled":
            alone.cancel()
        elif end == "closed":
            await backend.turns.close()
            assert isinstance(await next_one, ConnectionError)
        if end != "too late":
            backend.gate.set()
        outcome = (await asyncio.gather(alone, return_exceptions=True))[0]
        backend.gate.set()
        kinds = {"cancelled": asyncio.CancelledError, "too late": asyncio.TimeoutError, "closed": ConnectionError}
        if end in ("failed", "refused"):
            assert outcome is error
        elif end in kinds:
            assert isinstance(outcome, kinds[end])
        else:
            assert outcome == "A"
        assert await backend.ask("c") == "C"
        await settle()
        assert not backend.turns._under_way and not backend.turns._queue and backend.turns._places == 1

    run(scenario)


@pytest.mark.parametrize("is_alone", [False, True])
def test_work_that_may_be_late(is_alone):
    """What a thread has taken is waited for, also where the request sends it itself."""

    async def scenario():
        async def send(turn: Turn) -> None:
            taken = turn.take()
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0.1)
            for asked in taken:
                asked.tell("done")

        tasks: list[asyncio.Task | None] = []
        turns, kind = Turns(1, 0.05), Kind(send, may_be_late=True)
        if is_alone:
            await turns.ask(kind, "first")
            await settle()
        assert await turns.ask(kind, "a") == "done"
        assert (tasks[-1] is asyncio.current_task()) == is_alone

    run(scenario)


def test_alone_and_cancelled():
    """After a request that sent its operation itself was cancelled, the next hundred have theirs sent by a turn.

    Those turns end by themselves, even if their requests are cancelled; each cancelled request begins the count again.
    """

    async def scenario():
        backend = Backend()
        backend.steps = 3
        await backend.ask("first")
        for number in range(50):
            asker = backend.ask(f"{number}")
            await settle_until(lambda number=number: len(backend.sent) == number + 2)
            asker.cancel()
            await settle()
        # The first one has broken off its statement, and no other.
        assert backend.ended == [["first"], *([f"{number}"] for number in range(1, 50))]
        for number in range(100):
            assert await backend.ask(f"a{number}") == f"A{number}"
        assert not set(backend.tasks[2:]) & set(backend.askers)
        await backend.ask("alone again")
        assert backend.tasks[-1] is backend.askers[-1]

    run(scenario)


def test_kinds_do_not_mix():
    """Operations of different kinds go in turns of their own, concurrently."""

    async def scenario():
        backend = Backend()
        backend.gate.clear()
        asked = [backend.ask("a"), backend.ask("b", kind=backend.other), backend.ask("c")]
        await settle()
        assert backend.sent == [["a", "c"], ["b"]] and backend.under_way == 2
        backend.gate.set()
        assert await asyncio.gather(*asked) == ["A", "B", "C"]

    run(scenario)


def test_newcomers_of_a_busy_back_end():
    """While all places are taken newcomers collect in one turn, however many turns of the loop they come in."""

    async def scenario():
        backend = Backend(under_way=2)
        first = await backend.fill()
        waiting = []
        for id in "abcdef":
            waiting.append(backend.ask(id))
            await settle()
        assert len(backend.sent) == 2
        backend.gate.set()
        assert await asyncio.gather(*first, *waiting) == ["FIRST0", "FIRST1", *"ABCDEF"]
        assert backend.sent[2:] == [list("abcdef")] and backend.most_under_way == 2

    run(scenario)


@pytest.mark.parametrize("requests", [128, 512])
def test_fair(requests):
    """However many requests there are, they are served in the order in which they came, and none starves.

    Each asks again as soon as it is answered, as wrk does, so that there are always newcomers.
    """

    async def scenario():
        backend = Backend(under_way=2, most=10)
        backend.steps = 5
        rounds = dict.fromkeys(range(requests), 0)

        async def visit(number: int) -> None:
            while min(rounds.values()) < 5:
                await backend.turns.ask(backend.kind, str(number))
                rounds[number] += 1
                assert rounds[number] - min(rounds.values()) <= 2

        await asyncio.gather(*map(visit, rounds))
        assert backend.most_under_way == 2

    run(scenario)


def test_first_come_first_served_among_kinds():
    """A kind of which there are always newcomers does not keep another kind waiting."""

    async def scenario():
        backend = Backend(under_way=1, most=2)
        first = await backend.fill()
        asked = [backend.ask("a"), backend.ask("b"), backend.ask("x", kind=backend.other), backend.ask("c")]
        await settle()
        backend.gate.set()
        await asyncio.gather(*first, *asked)
        assert backend.sent[1:] == [["a", "b"], ["x"], ["c"]]

    run(scenario)


def test_two_changes_of_one_record():
    """They never share a turn; two readings do, and both are answered."""

    async def scenario():
        backend = Backend()
        assert await asyncio.gather(*map(backend.ask, "aabaa")) == list("AABAA")
        assert backend.sent == [["a"], ["a", "b"], ["a"], ["a"]]
        backend = Backend(shares_ids=True)
        assert await asyncio.gather(*map(backend.ask, "aabaa")) == list("AABAA")
        assert backend.sent == [list("aabaa")]

    run(scenario)


def test_large_turns():
    """A turn has so many operations, and so many bytes, unless one alone has more."""

    async def scenario():
        backend = Backend(under_way=9)
        await asyncio.gather(*(backend.ask(str(number)) for number in range(250)))
        assert [len(ids) for ids in backend.sent] == [100, 100, 50]
        backend.sent.clear()
        sizes = {"a": 500_000, "b": 500_000, "c": 100_000, "d": 5_000_000, "e": 1}
        await asyncio.gather(*(backend.ask(id, size=size) for id, size in sizes.items()))
        assert backend.sent == [["a", "b"], ["c"], ["d"], ["e"]]

    run(scenario)


def test_gives_up_while_it_waits():
    """An operation whose request gives up before its turn begins is never sent, and its place is another's."""

    async def scenario():
        backend = Backend(under_way=1)
        first = await backend.fill()
        kept, cancelled, again = backend.ask("a"), backend.ask("b"), None
        await settle()
        cancelled.cancel()
        await settle()
        again = backend.ask("b")  # nothing keeps it from this turn any more
        await settle()
        backend.gate.set()
        assert await asyncio.gather(*first, kept, again) == ["FIRST0", "A", "B"]
        assert backend.sent[1:] == [["a", "b"]]

    run(scenario)


def test_gives_up_while_it_is_under_way(monkeypatch):
    """The others of its turn are answered; the last one that gives up frees the place of the turn in a moment."""
    monkeypatch.setattr("node_session.drivers.turn.MOMENT", 0.01)

    async def scenario():
        backend = Backend(under_way=1)
        backend.gate.clear()
        a, b = backend.ask("a"), backend.ask("b")
        await settle()
        a.cancel()
        await settle()
        assert backend.under_way == 1
        waiting = backend.ask("c")
        b.cancel()
        while len(backend.sent) == 1:
            await asyncio.sleep(0.001)
        assert backend.sent == [["a", "b"], ["c"]]
        backend.gate.set()
        assert await waiting == "C" and a.cancelled() and b.cancelled()

    run(scenario)


def test_gives_up_a_moment_before_the_answer():
    """A turn that nobody waits for any more goes on for a moment, since its connection is lost if it is broken off."""

    async def scenario():
        backend = Backend(under_way=1)
        backend.steps = 3
        a = backend.ask("a")
        await settle_until(lambda: backend.under_way)
        a.cancel()
        assert await backend.ask("b") == "B"
        assert backend.ended == [["a"], ["b"]]

    run(scenario)


def test_gives_up_immediately():
    """A request that gives up in the turn of the loop in which it asked does not end the turn that others join."""

    async def scenario():
        backend = Backend()

        async def ask_and_join() -> str:
            first = backend.ask("a")
            await asyncio.sleep(0)
            first.cancel()
            return await backend.turns.ask(backend.kind, "b")

        assert await ask_and_join() == "B" and backend.sent == [["b"]]
        backend = Backend()
        lonely = backend.ask("a")
        await asyncio.sleep(0)
        lonely.cancel()
        await settle()
        assert not backend.sent
        assert await asyncio.gather(*map(backend.ask, "cd")) == ["C", "D"]

    run(scenario)


def test_all_give_up_before_their_turn():
    """A turn that nobody waits for any more is not sent."""

    async def scenario():
        backend = Backend(under_way=1)
        first = await backend.fill()
        waiting = [backend.ask(id) for id in "abc"]
        await settle()
        for task in waiting:
            task.cancel()
        await settle()
        backend.gate.set()
        await asyncio.gather(*first)
        assert await backend.ask("d") == "D" and backend.sent == [["first0"], ["d"]]

    run(scenario)


def test_refused():
    """If the back-end refuses a turn, the operations at fault fail alone, and the others are done."""

    async def scenario():
        for _ in range(20):
            backend = Backend(under_way=choose(1, 5))
            ids = [f"id{number}" for number in range(choose(1, 90))]
            backend.bad = {id: RefusedError(id) for id in ids if choose(0, 20) == 0}
            outcomes = await asyncio.gather(*map(backend.ask, ids))
            assert outcomes == [backend.bad.get(id, id.upper()) for id in ids]
            assert backend.turns._places > 0 and not backend.turns._queue

    choose = random.Random(17).randint
    run(scenario)


def test_refused_in_parts():
    """Of a hundred operations of which one is refused, a few turns find it, and each is done once."""

    async def scenario():
        backend = Backend(under_way=1)
        backend.bad = {"id42": RefusedError("id42")}
        await asyncio.gather(*(backend.ask(f"id{number}") for number in range(100)))
        assert len(backend.sent) <= 15
        done = [id for ids in backend.sent if "id42" not in ids for id in ids]
        assert len(done) == len(set(done)) == 99

    run(scenario)


def test_refused_while_one_gives_up():
    """An operation does not get the error of another one that has given up meanwhile."""

    async def scenario():
        backend = Backend()
        backend.bad = {"b": RefusedError("b")}
        backend.gate.clear()
        a, b = backend.ask("a"), backend.ask("b")
        await settle()
        b.cancel()
        await settle()
        backend.gate.set()
        assert await a == "A" and backend.sent == [["a", "b"], ["a"]]

    run(scenario)


def test_parts_go_before_newcomers():
    """The halves of a refused turn are sent before what came after it."""

    async def scenario():
        backend = Backend(under_way=1)
        backend.bad = {"b": RefusedError("b")}
        backend.gate.clear()
        refused = [backend.ask(id) for id in "abcd"]
        await settle()
        newcomer = backend.ask("e")
        await settle()
        backend.gate.set()
        await asyncio.gather(*refused, newcomer)
        assert backend.sent == [list("abcd"), ["a", "b"], ["a"], ["b"], ["c", "d"], ["e"]]

    run(scenario)


def test_what_may_have_been_done():
    """After an error that does not say that nothing was done, nothing is sent again: each has that error."""

    async def scenario():
        backend = Backend()
        backend.bad = {"b": ConnectionResetError("broken")}
        outcomes = await asyncio.gather(*map(backend.ask, "abc"))
        assert outcomes == [backend.bad["b"]] * 3 and backend.sent == [["a", "b", "c"]]
        assert await backend.ask("d") == "D"

    run(scenario)


def test_told_before_the_error():
    """An operation that has its outcome keeps it, whatever comes after, and is not sent again."""

    async def scenario():
        async def send(turn: Turn) -> None:
            sent.append([asked.id for asked in turn.asked])
            if len(turn.asked) == 3:
                turn.asked[0].tell("done")
                turn.again(turn.asked[1:2])
                raise RefusedError
            await settle()
            for asked in turn.asked:
                asked.tell("alone")

        sent: list[list[str]] = []
        turns, kind = Turns(2, 60), Kind(send, is_refusal=lambda error: True)
        outcomes = await asyncio.gather(*(turns.ask(kind, id) for id in "abc"))
        assert outcomes == ["done", "alone", "alone"]
        assert sent == [["a", "b", "c"], ["b"], ["c"]]

    run(scenario)


def test_time_limit_of_each():
    """Each request waits for so long, from when it asked, and a turn for the last of its requests."""

    async def scenario():
        backend = Backend(under_way=1, seconds=0.2)
        backend.gate.clear()
        first = backend.ask("a")
        await asyncio.sleep(0.1)
        waiting = backend.ask("b")
        assert isinstance(await first, asyncio.TimeoutError) and not waiting.done()
        assert isinstance(await waiting, asyncio.TimeoutError)
        assert backend.sent == [["a"], ["b"]]  # the place of the turn before was free again
        backend.gate.set()
        assert await backend.ask("c") == "C" and backend.ended == [["c"]]

    run(scenario)


def test_late_comer_has_its_time():
    """An operation that joins a turn late has its own time, and not what the first one has left."""

    async def scenario():
        backend = Backend(under_way=1, seconds=0.3)
        first = await backend.fill()
        early = backend.ask("a")
        await asyncio.sleep(0.2)
        asked_late, late = asyncio.get_running_loop().time(), backend.ask("b")
        assert isinstance(await early, asyncio.TimeoutError) and not late.done()
        backend.gate.set()
        assert await late == "B" and backend.until >= asked_late + 0.3
        await asyncio.gather(*first)

    run(scenario)


def test_taken_by_a_thread():
    """Of an operation that a thread has taken the outcome is awaited; one whose time was over by then is not taken."""

    async def scenario():
        async def send(turn: Turn) -> None:
            if is_late:
                turn.expire(math.inf)
            taken = await asyncio.to_thread(turn.take)
            turn.expire(math.inf)
            ids.append([asked.id for asked in taken])
            for asked in taken:
                asked.tell("done")

        ids: list[list[str]] = []
        turns, kind = Turns(1, 60), Kind(send)
        is_late = False
        assert await asyncio.gather(turns.ask(kind, "a"), turns.ask(kind, "b")) == ["done", "done"]
        is_late = True
        assert isinstance(await turns.ask(kind, "c"), asyncio.TimeoutError)
        assert ids == [["a", "b"]]

    run(scenario)


def test_operations_of_others():
    """Operations that are handed over to other turns keep the time that each has left, in whatever order they come."""

    async def scenario():
        async def hand_over(turn: Turn) -> None:
            backend.turns.again(turn.asked, kind=backend.kind)

        backend = Backend()
        backend.gate.clear()
        patient = asyncio.ensure_future(Turns(1, 60).ask(Kind(hand_over), "a"))
        await settle()
        assert isinstance(await Turns(1, 0.1).ask(Kind(hand_over), "b"), asyncio.TimeoutError)
        backend.gate.set()
        assert await patient == "A" and backend.sent == [["a"], ["b"]]

    run(scenario)


def test_loop_that_stalls():
    """That a handler keeps the loop busy for longer than the time limit is no reason to fail an operation."""

    async def scenario():
        backend = Backend(seconds=0.05)
        asked = backend.ask("a")
        await asyncio.sleep(0)
        time.sleep(0.1)
        assert await asked == "A"

    run(scenario)


def test_finish():
    """What waits is done, turn by turn."""

    async def scenario():
        backend = Backend(under_way=1)
        asked = [await backend.fill(), backend.ask("a"), backend.ask("b", kind=backend.other)]
        await settle()
        finishing = asyncio.ensure_future(backend.turns.finish())
        await settle()
        backend.gate.set()
        await finishing
        assert backend.ended == [["first0"], ["a"], ["b"]] and await asked[2] == "B"

    run(scenario)


def test_close():
    """Closing ends what waits with an error, and waits for what is under way."""

    async def scenario():
        backend = Backend(under_way=1)
        first = await backend.fill()
        waiting = backend.ask("a")
        await settle()
        closing = asyncio.ensure_future(backend.turns.close())
        await settle()
        assert isinstance(await waiting, ConnectionError) and not closing.done()
        backend.gate.set()
        await closing
        assert await first[0] == "FIRST0"

    run(scenario)


def test_close_of_a_silent_back_end(monkeypatch):
    """A turn that takes too long is ended when the driver is closed."""
    monkeypatch.setattr("node_session.drivers.turns.MOMENT", 0.01)

    async def scenario():
        backend = Backend(under_way=1)
        first = await backend.fill()
        await backend.turns.close()
        assert isinstance(await first[0], ConnectionError)

    run(scenario)


def test_loop_that_is_shut_down(capfd):
    """Where the loop ends amid turns, every request ends, and asyncio has nothing to complain about."""

    async def scenario():
        backend = Backend(under_way=1)
        backend.gate.clear()
        for id in "abc":
            tasks.append(asyncio.ensure_future(backend.turns.ask(backend.kind, id)))
            await settle()

    tasks: list[asyncio.Task] = []
    asyncio.run(scenario())
    assert all(task.done() for task in tasks)
    assert capfd.readouterr().err == ""


def test_nothing_is_told():
    """A way of sending that forgets an operation is an error for its request, which would wait for ever."""

    async def scenario():
        async def send(turn: Turn) -> None:
            pass

        assert isinstance(await Turns(1, 60).ask(Kind(send), "a"), ConnectionError)

    run(scenario)


def test_random_requests():
    """Whatever requests come, give up and fail: each that stays gets its own answer, and no place is lost."""

    async def scenario(seed: int):
        choose = random.Random(seed).randrange
        backend = Backend(under_way=choose(1, 4), most=choose(1, 9), shares_ids=bool(choose(2)))
        tasks = []
        for _ in range(300):
            id = f"id{choose(40)}"
            if choose(30) == 0:
                backend.bad.setdefault(id, RefusedError(id))
            tasks.append((id, backend.ask(id)))
            if choose(3) == 0:
                tasks[choose(len(tasks))][1].cancel()
            if choose(4) == 0:
                (backend.gate.clear, backend.gate.set)[choose(2)]()
            if choose(2):
                await asyncio.sleep(0)
        backend.gate.set()
        for id, task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                outcome = await task
                assert outcome == id.upper() or outcome is backend.bad.get(id)
        await settle()
        assert backend.under_way == 0 and backend.most_under_way <= 3
        await asyncio.gather(*(backend.ask(f"last{number}") for number in range(50)))
        assert not backend.turns._queue and not backend.turns._under_way and not backend.turns._collecting

    for seed in range(20):
        run(lambda: scenario(seed))  # noqa: B023 - it is run immediately
