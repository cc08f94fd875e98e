"""The commands of pm-sim by name; each module has `main(arguments) -> int`, and is imported when it is asked for."""

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {
    "run": "pm_sim.commands.run",
    "new": "pm_sim.commands.new",
    "lint": "pm_sim.commands.lint",
    "sweep": "pm_sim.commands.sweep",
}
DEFAULT: Final = "run"
