"""Code that all HTTP services of memicos share. No torch, no database, no code of a single service."""
