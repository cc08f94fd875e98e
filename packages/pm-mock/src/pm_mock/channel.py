"""One connection of the market channel, sans-IO.

    CONNECTED ──initial form──► SUBSCRIBED ◄──► operation subscribe / unsubscribe

`text_received` answers what the protocol itself answers (`PONG`, `INVALID OPERATION`) and returns what was
asked for. Everything to be sent collects in `outbox`, in order; the shell writes it out.
"""

from enum import Enum
from typing import Literal, NamedTuple

import msgspec

from pm_mock.wire import Outgoing, outgoing

PONG = outgoing(b"PONG")
INVALID = outgoing(b"INVALID OPERATION")


class Gate(Enum):
    """What a scripted fault lets out of a connection."""

    OPEN = "everything"
    FROZEN = "PONG only"
    MUTE = "nothing"


class Subscribe(NamedTuple):
    """Tokens that were not subscribed before; `dump` says whether their books are wanted at once."""

    tokens: tuple[str, ...]
    initial: bool
    dump: bool


class Unsubscribe(NamedTuple):
    """Tokens that were subscribed until now."""

    tokens: tuple[str, ...]


class Form(msgspec.Struct):
    """Every form that a client sends; unknown members are ignored, as `markets` and `auth` are."""

    assets_ids: list[str] = []
    type: str | None = None
    operation: Literal["subscribe", "unsubscribe"] | None = None
    initial_dump: bool = True
    custom_feature_enabled: bool | None = None
    level: int | None = None


_FORM = msgspec.json.Decoder(Form)


class Channel:
    """The venue's side of one connection. `number` counts the handshakes of this venue, from 1."""

    __slots__ = ("blocked", "custom", "gate", "number", "outbox", "subscribed", "tokens")

    def __init__(self, number: int) -> None:
        self.number = number
        self.tokens: dict[str, None] = {}
        self.subscribed = False
        self.custom = False
        self.gate = Gate.OPEN
        self.blocked = False
        self.outbox: list[Outgoing] = []

    def send(self, item: Outgoing) -> None:
        """Queue messages, unless a fault keeps them back: then they are lost."""
        if self.gate is Gate.OPEN:
            self.outbox.append(item)

    def text_received(self, text: str) -> Subscribe | Unsubscribe | None:
        """Take one text message of the client."""
        if text == "PING":
            if self.gate is not Gate.MUTE:
                self.outbox.append(PONG)
            return None
        try:
            form = _FORM.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            self.invalid()
            return None
        if form.operation is None:
            return self._initial(form)
        if not self.subscribed or form.type is not None:
            self.invalid()
            return None
        if form.operation == "subscribe":
            return self._subscribe(form, initial=False)
        gone = tuple(token for token in dict.fromkeys(form.assets_ids) if token in self.tokens)
        for token in gone:
            del self.tokens[token]
        return Unsubscribe(gone)

    def invalid(self) -> None:
        """Answer what the venue answers to anything that it does not understand."""
        self.send(INVALID)

    def _initial(self, form: Form) -> Subscribe | None:
        if self.subscribed or (form.type or "").lower() != "market":
            self.invalid()
            return None
        self.subscribed = True
        return self._subscribe(form, initial=True)

    def _subscribe(self, form: Form, *, initial: bool) -> Subscribe:
        # The flag is applied first: naming an active token again toggles it, and does nothing else.
        if form.custom_feature_enabled is not None:
            self.custom = form.custom_feature_enabled
        fresh = tuple(token for token in dict.fromkeys(form.assets_ids) if token not in self.tokens)
        self.tokens.update(dict.fromkeys(fresh))
        return Subscribe(fresh, initial, form.initial_dump)
