"""Pure machines, one decision each. They take `now` in monotonic ns and know nothing of one another.

Every machine has `deadline() -> int | None` (absolute ns; None = nothing pending) and
`deadline_reached(now) -> list[Action]`, which returns nothing when called early, and the feeds that it
needs. Traffic only moves deadlines later, so a feed never has to touch a timer; a wake-up that comes
early finds nothing due.
"""
