"""Verify that every byte of a run bundle is what was written, and name the first that is not."""
