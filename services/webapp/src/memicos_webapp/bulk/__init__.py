"""Jobs over many features: explain them, score their labels. They call language models and the embedder from the worker
or the command, not through the autointerp server."""
