"""Float32 copies of a model's parts on the CPU, as a reference for the running model.

Only the weights of the running modules are used: transformers builds each part from the configuration with plain
("eager") attention; mask and positions are built here.
"""

import copy
import inspect
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel

from memicos_engine.errors import is_out_of_memory
from memicos_engine.model.hook_modules import block_list
from memicos_engine.model.language_model import LanguageModel

CPU = torch.device("cpu")
_KNOWN_ARGUMENTS = {
    "hidden_states",
    "attention_mask",
    "position_ids",
    "position_embeddings",
    "past_key_values",
    "use_cache",
}
_FINAL_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")
_PLAIN_EMBEDDINGS = {
    "cohere", "cohere2", "falcon", "gpt_neox", "gpt_oss", "gptj", "granite", "llama", "mistral", "mixtral", "olmo",
    "olmo2", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "stablelm", "starcoder2",
}  # fmt: skip
_LEARNED_POSITIONS = {
    "gpt2": ("wpe", 0),
    "gpt_neo": ("wpe", 0),
    "gpt_bigcode": ("wpe", 0),
    "opt": ("embed_positions", 2),
}
"""Architectures with learned position embeddings: the name of the table, and the row of position 0."""
_LOGIT_FACTORS = ("logit_scale", "lm_head_multiplier")
_LOGIT_DIVISORS = ("logits_scaling", "logits_mup_width_multiplier")
"""Fields of configurations that scale the logits."""
_SCALED_EMBEDDINGS = {"gemma", "gemma2", "gemma3_text"}
"""Architectures that multiply embeddings by the square root of their width."""


class CheckNotPossible(Exception):
    """The architecture has a part that is not supported here; the message says which."""


class Float32Reference:
    """Float32 parts of `model`. Each call builds the part it needs and does not keep it."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._running = block_list(model.hf, model.n_layers)[1]
        self._config = copy.deepcopy(model.hf.config)
        self._config._attn_implementation = "eager"
        self._text_config: Any = self._config.get_text_config(decoder=True)

    @property
    def has_experts(self) -> bool:
        """Whether the model is a mixture of experts."""
        names = ("num_local_experts", "num_experts", "n_routed_experts")
        return any((getattr(self._text_config, name, None) or 0) > 1 for name in names)

    def block_bytes(self, layer: int) -> int:
        """Memory of the float32 copy of a block."""
        return sum(4 * value.numel() for value in self._running[layer].state_dict().values())

    def block(self, layer: int, hidden: torch.Tensor) -> torch.Tensor:
        """Output (T, D) of the block for its input (T, D).

        Raises:
            CheckNotPossible: the block needs arguments that are not supported here, or cannot be run by itself.
        """
        kind = type(block_list(self._skeleton, self._model.n_layers)[1][layer])
        arguments = self._arguments(kind, layer, len(hidden))
        try:
            part = _filled(lambda: kind(self._text_config, layer), self._running[layer])
            with torch.inference_mode():
                output = part(hidden.to(CPU, torch.float32)[None], **arguments)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            # says nothing about the running model, which is not involved
            if is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
            raise CheckNotPossible(f"a block of {self.kind} does not run by itself: {reason}") from error
        return (output if isinstance(output, torch.Tensor) else output[0])[0]

    def final_norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """Input of the unembedding (T, D), from the residual stream (T, D) after the last block."""
        name = self._final_norm_name
        skeleton_norm = getattr(self._body(self._skeleton), name)
        norm = _filled(lambda: copy.deepcopy(skeleton_norm), self.running_final_norm)
        with torch.inference_mode():
            return norm(hidden.to(CPU, torch.float32))

    @property
    def running_final_norm(self) -> torch.nn.Module:
        """The final norm of the running model."""
        return getattr(self._body(self._model.hf), self._final_norm_name)

    @cached_property
    def _final_norm_name(self) -> str:
        """Raises CheckNotPossible where the final norm has no known name."""
        name = next((name for name in _FINAL_NORMS if hasattr(self._body(self._skeleton), name)), None)
        if name is None:
            raise CheckNotPossible(f"the final norm of {self.kind} is not supported")
        return name

    def logits(self, normed: torch.Tensor, rows: slice) -> torch.Tensor:
        """Logits (T, n) of the vocabulary entries `rows` from the output of `final_norm` (T, D)."""
        head: Any = self._model.hf.get_output_embeddings()
        logits = normed @ head.weight[rows].detach().to(CPU, torch.float32).T
        if getattr(head, "bias", None) is not None:
            logits += head.bias[rows].detach().to(CPU, torch.float32)
        config = self._text_config
        for name in _LOGIT_FACTORS:
            logits = logits * (getattr(config, name, None) or 1)
        for name in _LOGIT_DIVISORS:
            logits = logits / (getattr(config, name, None) or 1)
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def embedded(self, rows: torch.Tensor) -> torch.Tensor:
        """The first block's input (T, D) from the embedding rows (T, D) of the tokens at positions 0, 1, ..."""
        rows = rows.to(CPU, torch.float32)
        if self.kind in _SCALED_EMBEDDINGS:
            return rows * rows.shape[-1] ** 0.5
        if self.kind in _LEARNED_POSITIONS:
            name, first = _LEARNED_POSITIONS[self.kind]
            table = next(value for key, value in self._model.hf.named_parameters() if key.endswith(f"{name}.weight"))
            return rows + table[first : first + len(rows)].detach().to(CPU, torch.float32)
        if self.kind in _PLAIN_EMBEDDINGS:
            return rows * (getattr(self._text_config, "embedding_multiplier", None) or 1)
        raise CheckNotPossible(f"the embedding of {self.kind} is not supported")

    @property
    def kind(self) -> str:
        return self._text_config.model_type

    @cached_property
    def _skeleton(self) -> Any:
        """The whole model on the meta device, for its structure."""
        with torch.device("meta"):
            return type(self._model.hf)(self._config)

    def _body(self, model: PreTrainedModel) -> torch.nn.Module:
        """The module that contains the list of blocks, the final norm and shared modules."""
        name, _ = block_list(model, self._model.n_layers)
        return model.get_submodule(name.rpartition(".")[0])

    def _arguments(self, kind: type[torch.nn.Module], layer: int, n: int) -> dict[str, Any]:
        positions = torch.arange(n)[None]
        arguments: dict[str, Any] = {
            "attention_mask": torch.zeros(n, n).masked_fill(~self._visible(layer, n), torch.finfo(torch.float32).min)[
                None, None
            ],
            "position_ids": positions,
            "use_cache": False,
        }
        parameters = inspect.signature(kind.forward).parameters
        needed = {
            name
            for name, parameter in list(parameters.items())[1:]
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        }
        if unknown := needed - _KNOWN_ARGUMENTS:
            raise CheckNotPossible(f"arguments of {self.kind}'s blocks are not supported: {', '.join(sorted(unknown))}")
        if "position_embeddings" in parameters:
            arguments["position_embeddings"] = self._rotary(layer, positions)
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        return {name: value for name, value in arguments.items() if takes_all or name in parameters}

    def _rotary(self, layer: int, positions: torch.Tensor) -> Any:
        """Cosine and sine of the block's positions, from a new instance of the model's rotary module."""
        module = getattr(self._body(self._skeleton), "rotary_emb", None)
        if module is None:
            raise CheckNotPossible(f"the rotary embedding of {self.kind} is not supported")
        rotary = type(module)(self._text_config)
        probe = torch.zeros(1, 1, 1)
        if "layer_type" not in inspect.signature(rotary.forward).parameters:
            return rotary(probe, positions)
        layer_type = self._text_config.layer_types[layer]
        if layer_type not in rotary.rope_type:
            raise CheckNotPossible(f"{self.kind} has no rotary embedding for blocks of type {layer_type}")
        return rotary(probe, positions, layer_type)

    def _visible(self, layer: int, n: int) -> torch.Tensor:
        """Boolean (n, n): whether the query of a row attends to the key of a column."""
        back = torch.arange(n)[:, None] - torch.arange(n)[None]
        window = self._window(layer)
        return (back >= 0) if window is None else (back >= 0) & (back < window)

    def _window(self, layer: int) -> int | None:
        """Number of positions that a block attends to, its own included; None: all."""
        window: int | None = getattr(self._text_config, "sliding_window", None)
        types = getattr(self._text_config, "layer_types", None)
        if types is None:
            return window
        if types[layer] not in ("full_attention", "sliding_attention"):
            raise CheckNotPossible(f"attention of type {types[layer]} is not supported")
        return window if types[layer] == "sliding_attention" else None


def _filled(make: Any, running: torch.nn.Module) -> Any:
    """The module that `make` builds, in float32 on the CPU, with the weights of `running`."""
    weights = {name: value.detach().to(CPU, torch.float32) for name, value in running.state_dict().items()}
    with torch.device("meta"):
        part = make()
    part.load_state_dict(weights, assign=True)
    if any(buffer.is_meta for buffer in part.buffers()):
        # buffers that the constructor computes are not among the weights
        part = make()
        part.load_state_dict(weights)
    return part.eval()
