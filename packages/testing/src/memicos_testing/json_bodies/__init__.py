"""Requests and answers as JSON: bodies that tests send, and checks of bodies that they get."""
