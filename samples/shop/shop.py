"""A small shop beside its session: sign in, devices, cart, flash, forms, a live view.

    python samples/shop/shop.py [port] [--driver file|memory|sqlite|redis|mongodb|postgresql|mysql] [--connection JSON]

Every page shows the panel of `node_session.debug`: the session's content, and its history.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from node_session import ConfigError, NodeSession, Session, SessionMixin
from node_session.debug import SessionPanel

HERE = Path(__file__).parent


class Product(NamedTuple):
    name: str
    about: str
    cents: int


PRODUCTS = {
    "mug": Product("Stoneware mug", "Glazed by hand, holds a pint", 1400),
    "pot": Product("Clay teapot", "For four, pours without a drop", 3900),
    "kettle": Product("Steel kettle", "Sings when it is ready", 5200),
    "tin": Product("Black tea", "First flush, 100 g in a tin", 1250),
    "whisk": Product("Bamboo whisk", "A hundred tines, for matcha", 1800),
    "sugar": Product("Sugar cube", "One. Nobody buys only one", 10),
}


def price(cents: int) -> str:
    """An amount of cents, as people write it."""
    return f"€ {cents / 100:.2f}"


# -------------------------------------------------------------------- the session


class ShopSessions(NodeSession):
    """Sessions whose cookie ends with the browser, unless its owner wants otherwise.

    In either case the record lives for `lifetime` after the last visit.
    """

    def ends_with_browser(self, session: Session) -> bool:
        return not session.get("remember", False)


DRIVERS = ("file", "memory", "sqlite", "redis", "mongodb", "postgresql", "mysql")


def make_sessions(driver: str, connection: dict[str, Any]) -> NodeSession:
    """The shop's sessions on the driver of that name: one of `DRIVERS`."""
    if driver not in DRIVERS:
        raise ConfigError(f"driver {driver!r} is not known; choose one of {', '.join(map(repr, DRIVERS))}")
    where: dict[str, Any] = {"driver": driver}
    if driver == "sqlite":
        Path("sessions").mkdir(mode=0o700, exist_ok=True)
        connection = {"database": "sessions/shop.sqlite", **connection}
    if driver not in ("file", "memory", "redis"):
        where = {"driver": "database"}
        connection = {"adapter": driver, **connection}
    return ShopSessions(
        {
            "secret": "a-secret-for-this-sample-only-never-for-yours",
            "lifetime": 7 * 24 * 60 * 60 * 1000,  # a week, in milliseconds
            "csrf": True,
            "connection": connection or False,
            **where,
        }
    )


def items(session: Session) -> dict[str, int]:
    """The number of each product in the cart."""
    cart: dict[str, Any] = session.get("cart") or {}
    return {slug: cart[slug]["quantity"] for slug in PRODUCTS if slug in cart and cart[slug]["quantity"] > 0}


def total(session: Session) -> int:
    """The price of the cart, in cents."""
    return sum(PRODUCTS[slug].cents * quantity for slug, quantity in items(session).items())


# -------------------------------------------------------------------- pages


class Page(SessionMixin, RequestHandler):
    """The base of all pages."""

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")  # otherwise the back button shows pages from before the sign-out

    def get_template_namespace(self) -> dict[str, Any]:
        namespace = super().get_template_namespace()
        names = {"session": self.session, "products": PRODUCTS, "price": price, "items": items, "total": total}
        return {**namespace, **names}

    def product(self) -> str:
        """The product a form names."""
        slug = self.get_body_argument("product")
        if slug not in PRODUCTS:
            raise HTTPError(404, reason="There is no such product")
        return slug

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if isinstance(getattr(self.request, "session", None), Session) and self.session.is_started:
            self.finish(self.render_string("error.html", status=status_code, reason=self._reason))
        else:
            super().write_error(status_code, **kwargs)


class Home(Page):
    """The shop window."""

    def get(self) -> None:
        self.render("home.html")


class Cart(Page):
    """The cart, and the form to order."""

    def get(self) -> None:
        self.render("cart.html")


class Add(Page):
    """Put a product into the cart."""

    def post(self) -> None:
        slug = self.product()
        self.session.increment(f"cart.{slug}.quantity")
        self.session.flash("status", f"{PRODUCTS[slug].name}: in your cart.")
        self.redirect("/")


class Change(Page):
    """One more or one less of a product."""

    def post(self) -> None:
        slug = self.product()
        if self.session.increment(f"cart.{slug}.quantity", 1 if self.get_body_argument("by") == "1" else -1) <= 0:
            self.session.forget(f"cart.{slug}")
        self.redirect("/cart")


class Order(Page):
    """Check the form; if something is missing, show it again with the typed values."""

    async def post(self) -> None:
        form = {name: self.get_body_argument(name, "") for name in ("name", "email", "note")}
        errors = self.problems(form)
        if errors:
            self.session.flash("errors", errors)
            self.session.flash_input(form)
            self.redirect("/cart")
            return
        order = {"items": items(self.session), "cents": total(self.session)}
        if await self.session.take("cart"):  # if the button is clicked twice, one request gets it
            self.session.push("orders", order)
            self.session.flash("status", f"Thank you, {form['name']}! Your order is on its way.")
        self.redirect("/cart")

    def problems(self, form: dict[str, str]) -> dict[str, str]:
        """The errors in the form, by field."""
        found = {}
        if not form["name"]:
            found["name"] = "Who shall we send it to?"
        if "@" not in form["email"]:
            found["email"] = "That is no e-mail address."
        return found


class SignIn(Page):
    """Sign in: any name will do, the password is tea."""

    def get(self) -> None:
        self.render("sign_in.html")

    def post(self) -> None:
        name = self.get_body_argument("name", "")
        if not 0 < len(name) <= 100 or self.get_body_argument("password", "") != "tea":
            self.session.flash("errors", {"password": "A name, please, and the password: tea."})
            self.session.flash_input({"name": name})  # never the password
            self.redirect("/sign-in")
            return
        # Anybody who knew the old id or token does not know the new ones.
        self.session.regenerate(True)
        self.session.regenerate_token()
        self.session.set_owner(name)
        self.session.put({"user.name": name, "remember": self.get_body_argument("remember", "") == "yes"})
        self.session.flash("status", f"Welcome, {name}. Your session has a new id, and your cart came along.")
        self.redirect("/")


class SignOut(Page):
    """Sign out: the session's record is destroyed, and a new session begins."""

    def post(self) -> None:
        self.session.invalidate()
        self.session.flash("status", "You are signed out, and that session is gone from the store.")
        self.redirect("/")


class YourDevices(Page):
    """Where the user is signed in, with a button for each device."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.session.owner is None:
            self.redirect("/sign-in")

    async def get(self) -> None:
        devices = await self.node_session.devices(self.owner, self.session)
        self.render("devices.html", devices=devices, time=lambda time: f"{time:%Y-%m-%d %H:%M} UTC")

    async def post(self) -> None:
        """Sign one device out: of this user's, whatever the form says."""
        for device in await self.node_session.devices(self.owner, self.session):
            if device.id != self.get_body_argument("device"):
                continue
            if device.is_this:
                self.session.invalidate()
            else:
                await self.node_session.end(device)
            self.session.flash("status", "That device is signed out.")
        self.redirect("/devices")

    @property
    def owner(self) -> str:
        """The signed-in user."""
        return self.session.owner or ""


class OtherDevices(YourDevices):
    """Sign out everywhere but here."""

    async def post(self) -> None:
        count = await self.node_session.log_out(self.owner, except_=self.session)
        self.session.flash("status", f"Signed out elsewhere: {count}.")
        self.redirect("/devices")


# -------------------------------------------------------------------- the experiment and the live view


class Burst(Page):
    """One of twenty concurrent requests that add a sugar cube each."""

    async def post(self) -> None:
        number = int(self.get_body_argument("number"))
        await asyncio.sleep(0.1)  # so that the others are loaded before this one is saved
        self.session.increment("cart.sugar.quantity")
        self.session.push("arrived", number)

    def delete(self) -> None:
        """Empty the counter before the next twenty."""
        self.session.forget("arrived")

    def get(self) -> None:
        """The requests that have arrived in the session."""
        self.write({"arrived": self.session.get("arrived", [])})


class Panel(Page):
    """The session panel by itself, to show it again without loading the page."""

    def get(self) -> None:
        self.render("panel.html")


class Live(SessionMixin, WebSocketHandler):
    """Tell the page about other tabs' and servers' changes to its session.

    It asks the store three times a second: that works with every driver, and between any number of servers.
    """

    watching: asyncio.Task[None] | None = None

    def open(self, *args: str, **kwargs: str) -> None:
        self.watching = asyncio.ensure_future(self.watch())

    async def watch(self) -> None:
        shown = None
        with contextlib.suppress(WebSocketClosedError):
            while await self.session.reload():
                state = {"items": items(self.session), "name": self.session.get("user.name")}
                if state != shown:
                    await self.write_message(state)
                    shown = state
                await asyncio.sleep(0.3)
            self.close(4001, "the session has ended")

    def on_close(self) -> None:
        if self.watching is not None:
            self.watching.cancel()


# -------------------------------------------------------------------- the program


def make_application(sessions: NodeSession) -> Application:
    """The shop on these sessions."""
    routes: list[Any] = [
        ("/", Home),
        ("/cart", Cart),
        ("/cart/add", Add),
        ("/cart/change", Change),
        ("/order", Order),
        ("/sign-in", SignIn),
        ("/sign-out", SignOut),
        ("/devices", YourDevices),
        ("/devices/others", OtherDevices),
        ("/burst", Burst),
        ("/panel", Panel),
        ("/live", Live),
    ]
    return Application(
        routes,
        node_session=sessions,
        template_path=str(HERE / "templates"),
        static_path=str(HERE / "static"),
        ui_modules={"SessionPanel": SessionPanel},
        session_panel=True,
        debug=True,  # the panel runs in debug mode only; never do this on a public server
        autoreload=False,
    )


def listen(application: Application, port: str) -> None:
    """Serve at a port of this machine.

    Raises:
        ConfigError: It is none, or cannot be had.
    """
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"a port is a number from 0 to 65535, not {port!r}")
    try:
        application.listen(int(port), "127.0.0.1")
    except OSError as error:  # another program has it, or only root may
        reason = error.strerror or error
        raise ConfigError(f"port {port} cannot be used ({reason}); choose another: make demo PORT=3001") from error


async def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A small shop that shows what its sessions do.")
    parser.add_argument("port", nargs="?", default="3000")
    parser.add_argument("--driver", default="file", help=f"one of {', '.join(DRIVERS)}")
    parser.add_argument("--connection", type=json.loads, default={}, help="the option of that name, as JSON")
    arguments = parser.parse_args()
    try:
        sessions = make_sessions(arguments.driver, arguments.connection)
        listen(make_application(sessions), arguments.port)
    except ConfigError as error:
        sys.exit(f"{parser.prog}: {error}")
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows, where Ctrl-C is a KeyboardInterrupt
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    print(f"http://127.0.0.1:{arguments.port}/", flush=True)
    await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
