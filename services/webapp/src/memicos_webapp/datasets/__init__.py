"""Bringing a dataset from disk into PostgreSQL: verify, copy, count, then show all of it at once."""
