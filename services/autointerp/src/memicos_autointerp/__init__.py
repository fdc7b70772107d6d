"""HTTP server that explains features with a language model. It stores nothing."""
