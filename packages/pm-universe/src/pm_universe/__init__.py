"""Discover the active binary markets of Polymarket and write them down as a universe file."""
