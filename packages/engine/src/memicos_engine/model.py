"""A language model with its tokenizer, loaded once."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LanguageModel:
    """`bridge` names every hook point; `hf` is the module it wraps, run directly where that is equal and faster."""

    id: str
    origin: str
    bridge: TransformerBridge
    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    n_layers: int
    d_model: int
    d_vocab: int
    max_context: int

    @property
    def bos_token_id(self) -> int | None:
        """The id that a recipe with `prepend_bos` puts in front."""
        return self.tokenizer.bos_token_id

    def token_ids(self, text: str, prepend_bos: bool) -> list[int]:
        """Ids of `text` without the tokenizer's own special tokens, after BOS where asked and there is one."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportAssignmentType]
        if prepend_bos and self.bos_token_id is not None:
            return [self.bos_token_id, *ids]
        return ids

    def token_strings(self, ids: list[int]) -> list[str]:
        """Each id decoded alone; a token that is part of a character decodes to U+FFFD."""
        return self.tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)


def read_origin(location: str) -> str:
    """What the weights are: from `memicos.json` in a local folder, else the place they came from."""
    path = Path(location) / "memicos.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))["origin"]
    return location


def load_model(
    model_id: str, location: str, device: str = "cpu", dtype: str = "float32", token: str | None = None
) -> LanguageModel:
    """Load the model at `location`, a local folder in Hugging Face layout or a hub id.

    Weights are unprocessed (no LayerNorm folding, no centring), as SAEs see them. `trust_remote_code` is never set.

    Raises:
        OSError: nothing loadable at `location` (huggingface_hub's errors derive from it).
    """
    kind = DTYPES[dtype]
    tokenizer = AutoTokenizer.from_pretrained(location, token=token)
    hf = AutoModelForCausalLM.from_pretrained(location, dtype=kind, token=token, use_safetensors=True)
    hf = hf.to(device).eval()
    bridge = TransformerBridge.boot_transformers(
        location, hf_model=hf, tokenizer=tokenizer, device=device, dtype=kind
    )
    return LanguageModel(
        id=model_id,
        origin=read_origin(location),
        bridge=bridge,
        hf=hf,
        tokenizer=tokenizer,
        device=torch.device(device),
        dtype=kind,
        n_layers=hf.config.num_hidden_layers,
        d_model=hf.config.hidden_size,
        d_vocab=hf.config.vocab_size,
        max_context=hf.config.max_position_embeddings,
    )
