"""Parameters of a strategy: declared on its class, set by text, integers inside.

    class Mine(Strategy):
        edge = param(px("0.01"), help="how much better than the middle")
        size = param(shares("10"))

`self.edge` is then a plain integer (millionths). What a text may be follows from the default: `px`, `shares`
and `usd` take decimals; an int, a bool or a str take one of theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from pm_sim.fixed import Literal

T = TypeVar("T", bound=int | str)


class ParameterError(ValueError):
    """A parameter that does not exist, or a text that it cannot take."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter as it is declared."""

    default: int | str
    help: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> int | str:
        """Return the value that a text means. ParameterError."""
        try:
            value = _reader(self.default)(text)
        except ValueError as error:
            raise ParameterError(str(error)) from error
        return self.checked(value)

    def checked(self, value: int | str) -> int | str:
        """Return a value as the strategy gets it, if it is one that is allowed. ParameterError."""
        wanted = str if isinstance(self.default, str) else int
        if not isinstance(value, wanted) or isinstance(value, bool) > isinstance(
            self.default, bool
        ):
            raise ParameterError(f"{value!r} is not of the kind of the default {self.default!r}")
        if self.choices and value not in self.choices:
            raise ParameterError(f"{value!r} is not one of {', '.join(self.choices)}")
        if isinstance(value, int):
            if self.low is not None and value < self.low:
                raise ParameterError(f"{value} is below {self.low}")
            if self.high is not None and value > self.high:
                raise ParameterError(f"{value} is above {self.high}")
        return plain(value)


def param(
    default: T,
    *,
    help: str = "",
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
) -> T:
    """Declare a parameter; its type is that of the default."""
    made = Param(default, help, low, high, choices)
    made.checked(default)
    return cast(T, made)


def plain(value: Any) -> int | str:
    """Return a value without the memory of how it was written."""
    if isinstance(value, Literal):
        return int(value)
    return cast("int | str", value)


_TRUE: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _reader(default: int | str) -> Callable[[str], int | str]:
    if isinstance(default, Literal):
        return default.read
    if isinstance(default, bool):
        return _bool
    return int if isinstance(default, int) else str


def _bool(text: str) -> bool:
    if text.lower() not in _TRUE:
        raise ValueError(f"{text!r} is neither true nor false")
    return _TRUE[text.lower()]
