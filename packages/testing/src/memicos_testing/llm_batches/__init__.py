"""The files and batches of the provider of language models for tests."""
