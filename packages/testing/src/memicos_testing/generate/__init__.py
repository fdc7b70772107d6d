"""Runs of `memicos generate` for tests."""
