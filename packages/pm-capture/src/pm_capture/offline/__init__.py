"""Captures of fixtures: everything but the venue is real, and there is no network."""
