"""The format of the npm package node-session: the default one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

from .. import ids
from .base import Format, FormatOptions
from .masks import is_mask, masked, unmasked

# The beginning of such an id's mask, which no other mask has.
_OTHER = "."


class NodeSessionFormat(Format):
    """Records that are the attributes and nothing else, under ids of 40 characters."""

    name = "node-session"
    ids = ids.OWN

    def __init__(self, options: FormatOptions | None) -> None:
        super().__init__(options)
        if options is not None and options.other_ids:
            self.ids = ids.OWN_AND_OTHERS

    @classmethod
    def contradictions(cls, options: Any) -> Iterator[str]:
        """See `Format.contradictions`."""
        if options.csrf == "csrf-sync":
            yield "csrf: 'csrf-sync' is for format: 'express-session' only; set it to true"

    def veil(self, id: str, other: str) -> str:
        """See `Format.veil`. Masking it again unmasks it.

        With `hashIds`, a reader of the store must find no id in it. Such a reader knows only a hash of the other id,
        and not the hash used here.
        """
        if not ids.is_valid(id):  # an id of another program, which `set_id` has given
            return _OTHER + masked(id, other)
        pad = hashlib.sha256(b"left:" + other.encode()).digest()
        veiled = bytes(a ^ b for a, b in zip(base64.urlsafe_b64decode(id), pad, strict=False))
        return base64.urlsafe_b64encode(veiled).decode()

    def is_veiled(self, value: object) -> bool:
        """See `Format.is_veiled`."""
        is_own = ids.is_valid(value)
        return is_own or (isinstance(value, str) and value[:1] == _OTHER and is_mask(value[1:]))

    def unveil(self, veiled: str, other: str) -> str | None:
        """See `Format.unveil`."""
        if veiled[:1] != _OTHER:
            return self.veil(veiled, other)
        id = unmasked(veiled[1:], other)
        return id if self.ids.is_valid(id) else None

    def token_of(self, attributes: Mapping[str, Any]) -> str | None:
        """See `Format.token_of`."""
        token = attributes.get("_token")
        return token if isinstance(token, str) and token else None

    def new_tokens(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        """See `Format.new_tokens`."""
        return {"_token": ids.generate()}

    def accepts(self, attributes: Mapping[str, Any], token: str) -> bool:
        """See `Format.accepts`."""
        own = self.token_of(attributes)
        return own is not None and is_same(own, token)


def is_same(own: str, other: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(own.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


NODE_SESSION = NodeSessionFormat(None)
"""The format of programs that name none."""
