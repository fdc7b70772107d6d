"""Fails if this Python can import torch or a package that depends on it: webapp and autointerp must not need it."""

import sys
from importlib.util import find_spec

HEAVY = ("torch", "transformers", "transformer_lens", "sae_lens", "memicos_engine", "memicos_inference")

if packages := [name for name in HEAVY if find_spec(name)]:
    sys.exit(f"{sys.prefix} has {', '.join(packages)}: a dependency of webapp or autointerp requires it")
