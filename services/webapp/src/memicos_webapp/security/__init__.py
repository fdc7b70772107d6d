"""Checks of requests: middleware for all, body checks for every route, authorisation for writes."""
