"""Replay a run bundle as canonical events: exact books, causal, deterministic, live as later."""
