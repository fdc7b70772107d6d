"""Fails where this Python can import torch or what brings it: webapp and autointerp must do without."""

import sys
from importlib.util import find_spec

HEAVY = ("torch", "transformers", "transformer_lens", "sae_lens", "memicos_engine", "memicos_inference")

if found := [name for name in HEAVY if find_spec(name)]:
    sys.exit(f"{sys.prefix} has {', '.join(found)}: something that webapp or autointerp depends on brought it in")
