"""Audit whether a capture is credible: gates, the loss ledger, latency, and a look inside."""
