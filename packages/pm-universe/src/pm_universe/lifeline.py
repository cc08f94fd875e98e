"""A process that ends with the one that started it: its stdin is a pipe that only the other holds open.

The kernel closes that end however the other process dies, so this works for SIGKILL, and on every platform.
"""

import os
import threading

EXIT_CODE = 143  # as after SIGTERM


def end_with_stdin() -> None:
    """End this process, wherever it is, as soon as stdin ends; what was not published is not there."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # a stdin that cannot be read does not hold us either
    os._exit(EXIT_CODE)
