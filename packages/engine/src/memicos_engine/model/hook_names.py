"""Names of hook points: TransformerLens' names, and names of modules of the plain transformers model.

`model.layers.3`, `transformer.h.3.mlp` and `model.layers.3.self_attn.o_proj.input` name the output or, with `.input`,
the input of a module. The output of a block is TransformerLens' `blocks.3.hook_resid_post`, its input
`blocks.3.hook_resid_pre`. Other modules are named by block here: `blocks.3.self_attn.o_proj.input`.
"""

import re

_IN_BLOCK = re.compile(r"(?:[A-Za-z_]\w*\.)*?(?:layers|layer|h|blocks|block)\.([0-9]{1,4})((?:\.\w+)*)")
_EMBEDDING = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:embed_tokens|wte|embed_in|word_embeddings)(?:\.output)?")
_SIDES = ("input", "output")


def canonical_hook_name(name: str) -> str:
    """The name of a hook point by block, from the name of a module; other names are returned as they are."""
    if "hook_" in name:
        return name
    if _EMBEDDING.fullmatch(name):
        return "hook_embed"
    match = _IN_BLOCK.fullmatch(name)
    if match is None:
        return name
    path = match.group(2).split(".")[1:]
    side = path.pop() if path and path[-1] in _SIDES else "output"
    if path:
        return ".".join(("blocks", match.group(1), *path, side))
    return f"blocks.{match.group(1)}.hook_resid_{'pre' if side == 'input' else 'post'}"
