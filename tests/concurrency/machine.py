"""Requests of one session in every interleaving, against a sequential model, for hypothesis to explore.

Real `Session`s of two "processes" save over one memory driver, which lets each read and write of a save wait until the
machine picks it. So the machine decides who is first, and which save meets which, down to the single step.

The model is what DESIGN promises: the requests take effect one after the other, in the order of their successful
writes, as if each had run alone on what it found then. After each write the record must be exactly what the model says.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import json
import random
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from world import start_session

from node_session import Session
from node_session.drivers import MemoryDriver
from node_session.drivers.base import Driver

WRITERS = 4
MISSING = object()

current: contextvars.ContextVar[Request | None] = contextvars.ContextVar("current", default=None)


class Request:
    """A session that was loaded, and what is done with it: to the `Session`, and noted for the model."""

    def __init__(self, writer: int, store: Session, found: dict[str, Any], text: str) -> None:
        self.writer = writer
        self.store = store
        self.found = found  # what the model held when it was loaded
        self.text = text  # and the store
        self.id = store.get_id()
        self.moved_to: str | None = None
        self.task: asyncio.Task[None] | None = None
        self.flushed = False
        self.forget_notes()

    def forget_notes(self) -> None:
        self.pushed: list[int] = []
        self.added = 0
        self.own: Any = None  # None: not touched; MISSING: forgotten
        self.inner: int | None = None
        self.shared: Any = None
        self.flashed: list[str] = []

    def apply(self, state: dict[str, Any], text: str) -> dict[str, Any]:
        """The model's state after this request, had it run alone on `state`, which was stored as `text`."""
        state = empty() if self.flushed else copy.deepcopy(state)
        state["list"] += self.pushed
        state["n"] += self.added
        for key, value in ((self.writer, self.own),):
            if value is MISSING:
                state["own"].pop(key, None)
            elif value is not None:
                state["own"][key] = value
        if self.inner is not None:
            state["inner"][self.writer] = self.inner
        if self.shared is MISSING:
            if state["shared"] == self.found["shared"]:  # changed since: then the change stays
                state["shared"] = None
        elif self.shared is not None:
            state["shared"] = self.shared
        if self.text == text:
            state["flash"] = [each for each in state["flash"] if each not in self.found["flash"]]
        # Otherwise somebody has saved in between. What old flash data he has left there he may have kept on purpose,
        # or never seen, having loaded before it was flashed. The record does not tell, so it is shown once more.
        state["flash"] += self.flashed
        return state


def empty() -> dict[str, Any]:
    return {"list": [], "n": 0, "own": {}, "inner": {}, "shared": None, "flash": []}


def stored(text: str) -> dict[str, Any]:
    """A record in the form of the model."""
    attributes = json.loads(text)
    return {
        "list": attributes.get("list", []),
        "n": attributes.get("n", 0),
        "own": {writer: attributes[f"own{writer}"] for writer in range(WRITERS) if f"own{writer}" in attributes},
        "inner": {int(writer): n for writer, n in attributes.get("deep", {}).get("inner", {}).items()},
        "shared": attributes.get("shared"),
        "flash": [each for each in attributes.get("flash", {}).get("old", []) if each in attributes],
    }


def is_trail(text: str) -> bool:
    """Whether a record is what a session leaves under an id from which it has gone on."""
    return text.startswith('{"_left":')


class Process(Driver):
    """One of several views on a memory driver; tells the machine what is written, and waits for its turn."""

    def __init__(self, machine: Sessions, memory: MemoryDriver) -> None:
        self.machine = machine
        self.memory = memory

    async def read(self, id):
        await self.machine.turn()
        return await self.memory.read(id)

    async def write(self, id, payload, version):
        await self.machine.turn()
        before = self.machine.text(id)
        version = await self.memory.write(id, payload, version)
        if is_trail(payload):
            self.machine.destroyed(id, before)
        else:
            self.machine.written(id, payload, before)
        return version

    async def destroy(self, id, version=None):
        await self.machine.turn()
        before = self.machine.text(id)
        await self.memory.destroy(id, version)
        self.machine.destroyed(id, before)

    async def touch(self, id):
        await self.memory.touch(id)

    async def gc(self, lifetime):
        return await self.memory.gc(lifetime)


class Sessions(RuleBasedStateMachine):
    """See the module."""

    driver_wrapper: Any = staticmethod(lambda driver: driver)  # a test of the machine itself breaks it here

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.memory = MemoryDriver(0)
        self.processes = [self.driver_wrapper(Process(self, self.memory)) for _ in range(2)]
        self.requests: list[Request | None] = [None] * WRITERS
        self.waiting: list[asyncio.Future[None]] = []
        self.states: dict[str, dict[str, Any]] = {}  # the model: by id
        self.gone: set[str] = set()
        self.ids: list[str] = []
        self.numbers = count(1)
        self._uniform = random.uniform
        random.uniform = lambda low, high: 0.0  # how long a save rests between its tries: the machine shuffles instead

    def teardown(self) -> None:
        try:
            for number in range(WRITERS):
                self.save(number)
            while self.waiting:
                self.step(0)
            for request in self.requests:
                assert request is None or request.task is None or request.task.done(), "a save hangs"
            self.look()
        finally:
            random.uniform = self._uniform
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            self.loop.close()

    # ---------------------------------------------------------------- what the driver tells

    async def turn(self) -> None:
        """Wait until the machine picks this operation; outside of saves, go on immediately."""
        if current.get() is not None:
            future = self.loop.create_future()
            self.waiting.append(future)
            await future

    def text(self, id: str) -> str:
        """What is stored under an id, "" for nothing; a read of the memory driver never waits."""
        try:
            self.memory.read(id).send(None)
        except StopIteration as done:
            return "" if done.value is None else done.value.payload
        raise AssertionError("the memory driver waits")

    def written(self, id: str, payload: str, before: str) -> None:
        request = current.get()
        assert id not in self.gone, "a destroyed session is back"
        if request is None:
            self.states[id] = empty()
        elif request.moved_to == id:
            if not request.flushed:
                return  # it takes effect when the old record goes
            self.states[id] = request.apply(empty(), before)
            self.ids.append(id)
        else:
            self.states[id] = request.apply(self.states[id], before)
        assert stored(payload) == self.states[id]

    def destroyed(self, id: str, before: str) -> None:
        request = current.get()
        state = self.states.pop(id, None)
        self.gone.add(id)
        if request is None or request.moved_to is None or request.flushed or state is None:
            return  # it was destroyed while it moved: neither record is left
        if id == request.id:
            self.states[request.moved_to] = request.apply(state, before)
        else:  # it had moved on before: the two part ways, and this one keeps what it held
            kept = self.states[request.moved_to] = stored(self.text(request.moved_to))
            assert set(request.pushed) <= set(kept["list"]) and set(request.flashed) <= set(kept["flash"])
        self.ids.append(request.moved_to)

    # ---------------------------------------------------------------- rules

    @initialize()
    def create(self) -> None:
        """A session that has a record."""
        store = self.loop.run_until_complete(start_session(self.processes[0], save_timeout=10**9))
        self.loop.run_until_complete(store.save())
        self.ids.append(store.get_id())

    writers = st.integers(0, WRITERS - 1)

    def _open(self, writer: int) -> Request | None:
        """The request of a writer that is not saving yet; a new one begins where there is none."""
        request = self.requests[writer]
        if request is not None and request.task is not None:
            if not request.task.done():
                return None
            request.task.result()
            self.requests[writer] = request = None
        if request is None:
            id = self.ids[-1]
            if id not in self.states:
                return None
            process = self.processes[writer % 2]
            store = self.loop.run_until_complete(start_session(process, id, strict=True, save_timeout=10**9))
            assert store.get_id() == id
            self.requests[writer] = request = Request(writer, store, copy.deepcopy(self.states[id]), self.text(id))
        return request

    @rule(writer=writers)
    def begin(self, writer: int) -> None:
        self._open(writer)

    @rule(writer=writers)
    def push(self, writer: int) -> None:
        if request := self._open(writer):
            number = next(self.numbers)
            request.store.push("list", number)
            request.pushed.append(number)

    @rule(writer=writers, amount=st.integers(-3, 3))
    def increment(self, writer: int, amount: int) -> None:
        if request := self._open(writer):
            request.store.increment("n", amount)
            request.added += amount

    @rule(writer=writers, forget=st.booleans())
    def own(self, writer: int, forget: bool) -> None:
        """Set or forget a key that nobody else uses."""
        if request := self._open(writer):
            request.own = MISSING if forget else next(self.numbers)
            request.store.forget(f"own{writer}") if forget else request.store.put(f"own{writer}", request.own)

    @rule(writer=writers)
    def inner(self, writer: int) -> None:
        """Change a nested object in place."""
        if request := self._open(writer):
            request.inner = next(self.numbers)
            if not isinstance(request.store.get("deep.inner"), dict):
                request.store.put("deep.inner", {})
            request.store.get("deep")["inner"][str(writer)] = request.inner

    @rule(writer=writers, forget=st.booleans())
    def share(self, writer: int, forget: bool) -> None:
        """Set or forget a key that all use."""
        if request := self._open(writer):
            found = None if request.flushed else request.found["shared"]
            if forget:
                request.store.forget("shared")
                request.shared = None if found is None else MISSING
            else:
                request.shared = next(self.numbers)
                request.store.put("shared", request.shared)

    @rule(writer=writers)
    def flash(self, writer: int) -> None:
        if request := self._open(writer):
            key = f"flash{next(self.numbers)}"
            request.store.flash(key, 1)
            request.flashed.append(key)

    @rule(writer=writers)
    def flush(self, writer: int) -> None:
        if request := self._open(writer):
            request.store.flush()
            request.forget_notes()
            request.flushed = True

    @precondition(lambda self: len(self.gone) < 3)
    @rule(writer=writers, out=st.booleans())
    def move(self, writer: int, out: bool) -> None:
        """Log in or out: a new id, and the old record goes."""
        if (request := self._open(writer)) and request.moved_to is None:
            if out:
                request.store.invalidate()
                request.forget_notes()
                request.flushed = True
            else:
                request.store.regenerate(True)
            request.moved_to = request.store.get_id()

    @rule(writer=writers)
    def save(self, writer: int) -> None:
        """Begin to save; the saving waits at its first step."""
        request = self.requests[writer]
        if request is not None and request.task is None:
            context = contextvars.copy_context()
            context.run(current.set, request)
            request.task = context.run(self.loop.create_task, request.store.save())
            self._settle()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 7))
    def step(self, which: int) -> None:
        """Let one of the reads and writes that wait take place."""
        self.waiting.pop(which % len(self.waiting)).set_result(None)
        self._settle()

    @invariant()
    def look(self) -> None:
        """The store agrees with the model, and destroyed sessions stay destroyed."""
        for id, state in self.states.items():
            text = self.text(id)
            assert text and stored(text) == state
        assert all(is_trail(text) for text in map(self.text, self.gone) if text)

    def _settle(self) -> None:
        async def all_that_can_go_on() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(all_that_can_go_on())
        for request in self.requests:
            if (
                request is not None
                and request.task is not None
                and request.task.done()
                and not request.task.cancelled()
            ):
                request.task.result()
