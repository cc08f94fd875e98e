"""Who gets which message: subscriptions by token, and the connections that are above their limit."""

from collections.abc import Iterable

from pm_mock.channel import Channel
from pm_mock.events import Message
from pm_mock.market import Market
from pm_mock.wire import outgoing

_NOBODY: dict[Channel, None] = {}


class Hub:
    """Routes messages to the outboxes of channels."""

    def __init__(self) -> None:
        self._by_token: dict[str, dict[Channel, None]] = {}
        self._everyone: dict[Channel, None] = {}
        self._blocked: set[Channel] = set()

    @property
    def blocked(self) -> bool:
        """Whether some connection has more unsent bytes than its limit."""
        return bool(self._blocked)

    @property
    def deserted(self) -> bool:
        """Whether nobody has subscribed."""
        return not self._everyone

    def subscribe(self, channel: Channel, tokens: Iterable[str]) -> None:
        """Deliver a token's messages to a channel from now on; without tokens, only global ones."""
        self._everyone[channel] = None
        for token in tokens:
            self._by_token.setdefault(token, {})[channel] = None

    def unsubscribe(self, channel: Channel, tokens: Iterable[str]) -> None:
        for token in tokens:
            members = self._by_token.get(token, {})
            members.pop(channel, None)
            if not members:
                self._by_token.pop(token, None)

    def remove(self, channel: Channel) -> None:
        """Forget a channel whose connection is gone."""
        self.unsubscribe(channel, list(channel.tokens))
        self._everyone.pop(channel, None)
        self._blocked.discard(channel)

    def set_blocked(self, channel: Channel, *, blocked: bool) -> None:
        """Note that a connection went above, or came below, its limit."""
        channel.blocked = blocked
        if blocked:
            self._blocked.add(channel)
        else:
            self._blocked.discard(channel)

    def listening(self, market: Market) -> bool:
        """Whether anyone subscribed to a token of a market."""
        yes, no = market.tokens
        return yes in self._by_token or no in self._by_token

    def publish(self, message: Message) -> None:
        """Queue a message for everyone who is to get it. It is framed once."""
        item = None
        audience = self._audience(message.tokens)
        if message.unless is not None:
            having = self._by_token.get(message.unless, _NOBODY)
            audience = {each: None for each in audience if each not in having}
        for channel in audience:
            if message.custom and not channel.custom:
                continue
            if item is None:
                item = outgoing(message.payload)
            channel.send(item)

    def _audience(self, tokens: tuple[str, ...]) -> dict[Channel, None]:
        if not tokens:
            return self._everyone
        first = self._by_token.get(tokens[0], _NOBODY)
        if len(tokens) == 1:
            return first
        second = self._by_token.get(tokens[1], _NOBODY)
        if len(tokens) == 2:
            return first if first == second else first | second
        return {each: None for token in tokens for each in self._by_token.get(token, _NOBODY)}
