"""The settings as flags of a command line."""

import argparse
from collections.abc import Collection

from pm_capture.settings import FIELDS, kind_of

SHORT = {"capture_rotate": ["--rotate"]}
METAVARS = {
    "capture_rotate": "24h,50GB",
    "run_id": "X",
    "data_dir": "DIR",
    "universe": "FILE",
    "gamma_base_url": "URL",
    "clob_ws_url": "URL",
    "market_regex": "REGEX",
    "ws_user_agent": "TEXT",
    "ws_transport": "NAME",
    "fixtures_dir": "DIR",
    "fixtures_multiplier": "N",
}


def add_settings(parser: argparse.ArgumentParser, *, without: Collection[str] = ()) -> None:
    """Add a flag for every setting but `without`.

    Only what is given explicitly appears in what is parsed, so that every value has a source.
    """
    for name, field in FIELDS.items():
        if name in without:
            continue
        flag = f"--{name.replace('_', '-')}"
        kind, _ = kind_of(name)
        default = "" if field.default is None else f" ({str(field.default).replace('%', '%%')})"
        words = f"{field.metadata['help']}{default}"
        add = parser.add_argument
        if name == "offline":
            # The one switch that also takes a word: `--offline true` is in old scripts.
            add(
                flag, nargs="?", const="true", default=argparse.SUPPRESS, metavar="true|false",
                help=words,
            )  # fmt: skip
            add(
                "--no-offline", dest=name, action="store_const", const="false",
                default=argparse.SUPPRESS, help=argparse.SUPPRESS,
            )  # fmt: skip
        elif kind is bool:
            action = argparse.BooleanOptionalAction
            add(flag, action=action, default=argparse.SUPPRESS, help=words)
        else:
            metavar = METAVARS.get(name, kind.__name__.upper())
            flags = [*SHORT.get(name, ()), flag]
            add(*flags, dest=name, default=argparse.SUPPRESS, metavar=metavar, help=words)
