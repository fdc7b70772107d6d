"""A language model, its SAEs, capture, steering and generation. No HTTP, no database.

Axes in docstrings: B rows of a batch, T token positions (BOS included), D width of the residual stream,
F features of a source, V vocabulary.
"""
