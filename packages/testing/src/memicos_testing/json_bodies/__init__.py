"""JSON bodies of requests, and checks of response bodies."""
