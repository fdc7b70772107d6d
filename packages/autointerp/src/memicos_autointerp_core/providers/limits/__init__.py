"""Limits that a provider states: requests and tokens a minute, and when it takes requests again."""
