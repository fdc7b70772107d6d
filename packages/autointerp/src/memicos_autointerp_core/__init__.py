"""Explains features of a sparse autoencoder with a language model. No HTTP server, no database, no torch.

The service `memicos_autointerp` offers it over HTTP.
"""
