"""Standard descriptors that somebody closed before the program began."""

import os


def hold_standard_descriptors() -> None:
    """Put the null device where descriptor 0, 1 or 2 is closed.

    Otherwise the next file or socket gets that number: words for people would go into it, and the event
    loop ends the process when it finds one of its own there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
