"""Explains features in words with a language model; stateless."""
