"""Connections of clients: limits on their number and on the time that a request or a response stays incomplete."""
