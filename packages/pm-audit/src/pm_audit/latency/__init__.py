"""The figures of a run: latency, loop lag, pressure, drops, reconnects; as JSON, text and one HTML page."""
