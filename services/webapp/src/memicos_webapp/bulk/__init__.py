"""Jobs that a language model does: explain many features. They call it from the worker or the command, not through the
autointerp server."""
