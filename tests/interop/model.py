"""The expected session after each call: the rules of the API again, as short as possible.

It has nothing of either implementation, so that it is noticed as well if both should lose the same thing.
"""

from __future__ import annotations

import copy
from typing import Any

from node_session import ids


class Model:
    """One session. Its methods are the original's; between `start` and `save` is a request."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self._tokens: dict[str, str] = {}  # the real ones, by what stands for them here until they are seen
        self._made = 0

    # ---------------------------------------------------------------- a request

    def start(self) -> None:
        """A session without a token gets one."""
        if "_token" not in self.attributes:
            self.regenerateToken()

    def save(self) -> None:
        """What was flashed before this request goes, and what it has flashed itself stays for the next."""
        for key in self._flashed("old"):
            self.attributes.pop(key, None)
        self.attributes["flash"] = {"old": self._flashed("new"), "new": []}

    def call(self, method: str, *args: Any) -> Any:
        """The expected result of a call."""
        return copy.deepcopy(getattr(self, method)(*copy.deepcopy(args)))

    def recognise(self, expected: Any, found: Any) -> Any:
        """What was expected, with the tokens that were found, where those are new ones as they should be."""
        if isinstance(expected, dict) and "_token" in expected and isinstance(found, dict):
            return {**expected, "_token": self.recognise(expected["_token"], found.get("_token"))}
        if not isinstance(expected, str) or not expected.startswith("<token "):
            return expected
        if expected not in self._tokens and ids.is_valid(found) and found not in self._tokens.values():
            self._tokens[expected] = found
        return self._tokens.get(expected, expected)

    # ---------------------------------------------------------------- the API

    def put(self, key: str, value: Any) -> None:
        *parents, last = key.split(".")
        container = self.attributes
        for each in parents:
            container = container.setdefault(each, {})
        container[last] = value

    def get(self, key: str, default: Any = None) -> Any:
        container = self.attributes
        for each in key.split("."):
            if each not in container:
                return default
            container = container[each]
        return container

    def has(self, key: str) -> bool:
        return self.get(key) is not None

    def all(self) -> dict[str, Any]:
        return self.attributes

    def push(self, key: str, value: Any) -> None:
        self.attributes.setdefault(key, []).append(value)

    def pull(self, key: str) -> Any:
        return self.attributes.pop(key, None)

    def forget(self, key: str) -> None:
        self.attributes.pop(key, None)

    def flush(self) -> None:
        self.attributes = {}

    def flash(self, key: str, value: Any) -> None:
        self.attributes[key] = value
        self._set_flashed(old=[each for each in self._flashed("old") if each != key], new=[*self._flashed("new"), key])

    def reflash(self) -> None:
        self._set_flashed(old=[], new=list(dict.fromkeys(self._flashed("new") + self._flashed("old"))))

    def keep(self, *keys: str) -> None:
        old = [each for each in self._flashed("old") if each not in keys]
        self._set_flashed(old=old, new=list(dict.fromkeys([*self._flashed("new"), *keys])))

    def getToken(self) -> str | None:
        return self.attributes.get("_token")

    def regenerateToken(self) -> None:
        self._made += 1
        self.attributes["_token"] = f"<token {self._made}>"

    def regenerate(self, destroy: bool = False) -> bool:
        return True

    migrate = regenerate

    def _flashed(self, which: str) -> list[str]:
        return self.attributes.get("flash", {}).get(which, [])

    def _set_flashed(self, **lists: list[str]) -> None:
        self.attributes["flash"] = lists
