"""Handlers that the tests share."""

from __future__ import annotations

import asyncio

from tornado.web import Application, Finish, HTTPError, RequestHandler

from node_session import NodeSession, SessionMixin


def route(app: Application, **handlers) -> None:
    app.add_handlers(".*", [(f"/{name}", handler) for name, handler in handlers.items()])


def on_session(work):
    """Work for the fixture `visit` that takes the handler's session."""
    return lambda handler: work(handler.session)


class Page(SessionMixin, RequestHandler):
    """Base of the tests' handlers: counts its requests, so that each of them has something to save."""

    def prepare(self):
        self.session.increment("count")


class Return(Page):
    async def get(self):
        await asyncio.sleep(0)
        self.write("ok")


class FinishChunk(Page):
    def get(self):
        self.finish({"ok": True})


class FinishAwaited(Page):
    async def get(self):
        await self.finish("ok")
        self.request.connection_was_finished = True


class Redirect(Page):
    def get(self):
        self.redirect("/Return")


class SendError(Page):
    def get(self):
        self.send_error(418)


class RaiseHTTPError(Page):
    def get(self):
        raise HTTPError(404)


class RaiseFinish(Page):
    def get(self):
        self.set_status(202)
        raise Finish("enough")


class NoContent(Page):
    def get(self):
        self.set_status(204)


class NotModified(Page):
    def get(self):
        self.set_status(304)


class Etag(Page):
    def get(self):
        self.write("the same")


class FinishInPrepare(Page):
    def prepare(self):
        super().prepare()
        self.finish("early")

    def get(self):
        raise AssertionError("a request that prepare() has finished has no method to run")


class Streamed(Page):
    async def get(self):
        self.write("one ")
        await self.flush()
        self.session.put("late", True)
        await asyncio.sleep(0.01)
        self.write("two")


class OwnFinish(Page):
    def finish(self, chunk=None):
        return super().finish({"wrapped": chunk})

    def get(self):
        self.finish("ok")


class Unchanged(SessionMixin, RequestHandler):
    def get(self):
        self.write(str(self.session.get("count")))


async def failing(sessions: NodeSession, method: str, error: Exception):
    """Let the driver fail in one method; gives a function that repairs it."""
    driver = await sessions.driver()

    async def fail(*args, **options):
        raise error

    setattr(driver, method, fail)
    return lambda: delattr(driver, method)


class Form(SessionMixin, RequestHandler):
    def get(self):
        self.write(str(self.session.get_token()))

    def post(self):
        self.write("done")

    put = patch = delete = head = options = post


class Count(SessionMixin, RequestHandler):
    def get(self):
        self.write(str(self.session.increment("count")))


class Nothing(SessionMixin, RequestHandler):
    def get(self):
        self.write("nothing")
