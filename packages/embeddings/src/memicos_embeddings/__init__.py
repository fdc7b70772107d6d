"""Text embedders: a text becomes a vector of unit length, so that the dot product of two vectors is their cosine.

`registry.open_registry` makes the embedders that a program is configured for; `minilm` and `openai_embedder` are the
two implementations. Importing this package loads neither onnxruntime nor openai: they are imported at the first use.
"""
