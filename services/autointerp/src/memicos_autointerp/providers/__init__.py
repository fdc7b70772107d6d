"""Which provider answers a request, and with whose key: the server's profiles, and keys of requests."""
