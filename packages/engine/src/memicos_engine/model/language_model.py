"""Load a language model with its tokenizer."""

import copy
import importlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.attention_temperature import use_text_positions
from memicos_engine.model.hook_modules import HookModules, block_list, find_hook_modules
from memicos_engine.model.length_dependent_rope import use_text_lengths
from memicos_engine.model.token_lengths import characters_per_token
from memicos_engine.model.token_strings import decode_all, sequence_strings, single_strings

DEFAULT_MAX_CONTEXT = 2048
"""Largest number of tokens of a text for models whose configuration states none (Mamba, RWKV, ...)."""
_CONTEXT_FIELDS = ("max_position_embeddings", "max_seq_len", "seq_length", "max_sequence_length")
"""Fields of configurations that state the largest number of tokens (MPT: max_seq_len; BLOOM: seq_length)."""
TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""Errors that a chat template raises on values it doesn't expect."""
_PROCESSORS = ("AutoProcessor", "AutoFeatureExtractor", "AutoImageProcessor")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class _NoProcessor:
    """In place of transformers' classes that load a processor."""

    @staticmethod
    def from_pretrained(*_args: object, **_options: object) -> None:
        return None


@contextmanager
def _without_processors() -> Iterator[None]:
    """While open, transformers' processors of images and sound are None.

    TransformerLens' bridge fetches that of a model of text and images; where it cannot, it runs `pip install
    torchvision` in the environment of this process. Only texts are run here.
    """
    # as TransformerLens imports them: the module `transformers` may have been replaced since another import of it
    module = importlib.import_module("transformers")
    originals = {name: getattr(module, name) for name in _PROCESSORS}
    try:
        for name in _PROCESSORS:
            setattr(module, name, _NoProcessor)
        yield
    finally:
        for name, original in originals.items():
            setattr(module, name, original)


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model.

    `hf` is the plain transformers model, which captures and generations run; `bridge` has the hook points that no
    module of it has. `origin` says what the weights are, `location` where they were loaded from. A text longer than one
    of `length_limits` (tokens, ascending) has other position embeddings than a shorter one, at all its positions.

    `batches_prompts`: prompts of different length may be padded to one batch; `splits_prompts`: a prompt may be run in
    parts; `caches_keys`: a generation may keep state between tokens. `with_execution_modes` finds them out.
    """

    id: str
    origin: str
    location: str
    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    n_layers: int
    d_model: int
    d_vocab: int
    max_context: int
    length_limits: tuple[int, ...] = ()
    batches_prompts: bool = True
    splits_prompts: bool = True
    caches_keys: bool = True

    @cached_property
    def bridge(self) -> TransformerBridge:
        """TransformerLens' bridge over a second model that shares the weights, created on first use.

        The bridge replaces modules of the model it wraps with slower ones, and adds BOS to a tokenizer without one;
        `hf` and `tokenizer` stay unchanged.
        """
        weights = {id(tensor): tensor for tensor in (*self.hf.parameters(), *self.hf.buffers())}
        twin = copy.deepcopy(self.hf, weights)
        with _without_processors():
            return TransformerBridge.boot_transformers(
                self.location,
                hf_model=twin,
                tokenizer=copy.deepcopy(self.tokenizer),
                device=str(self.device),
                dtype=self.dtype,
            )

    @cached_property
    def blocks(self) -> torch.nn.ModuleList:
        """The transformer blocks of `hf`, in order. Raises ValueError where it has no list of them."""
        return block_list(self.hf, self.n_layers)[1]

    @cached_property
    def hook_modules(self) -> HookModules:
        """Modules of hook points other than the residual stream; found by a short run on first use."""
        return find_hook_modules(self.hf, self.blocks, self.token_ids("One, two, three.", prepend_bos=True))

    @property
    def bos_token_id(self) -> int | None:
        """The id that a recipe with `prepend_bos` prepends; None if the tokenizer has no BOS."""
        bos: Any = self.tokenizer.bos_token_id
        return bos

    @cached_property
    def eos_token_ids(self) -> frozenset[int]:
        """Ids that end a generation: those of the generation config, of the configuration and of the tokenizer, and the
        end-of-turn token of the chat template. Published models often state that token in one of these places only.
        """
        configs: tuple[Any, ...] = (
            self.hf.generation_config,
            self.hf.config.get_text_config(decoder=True),
            self.tokenizer,
        )
        values = [getattr(config, "eos_token_id", None) for config in configs]
        values.append(self._end_of_turn_id)
        return frozenset(i for ids in values if ids is not None for i in ([ids] if isinstance(ids, int) else ids))

    @property
    def _end_of_turn_id(self) -> int | None:
        """The first special token that the chat template writes after a content of the assistant; None without one."""
        if not self.has_chat_template:
            return None
        content = "one two three"
        chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": content}]
        try:
            text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
        except TEMPLATE_ERRORS:
            return None
        _, separator, after = str(text).rpartition(content)
        ids: Any = self.tokenizer(after, add_special_tokens=False)["input_ids"] if separator else []
        return next((i for i in ids if i in self._special_ids), None)

    @cached_property
    def tokenizer_prepends_bos(self) -> bool:
        """Whether the tokenizer prepends BOS by default."""
        ids: Any = self.tokenizer("a")["input_ids"]
        return self.bos_token_id is not None and ids[0] == self.bos_token_id

    @property
    def has_chat_template(self) -> bool:
        return self.tokenizer.chat_template is not None

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder
        return frozenset(self.tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}

    @cached_property
    def characters_per_token(self) -> int:
        """The largest number of characters that a token stands for."""
        return characters_per_token(self.tokenizer)

    def token_ids(self, text: str, prepend_bos: bool) -> list[int]:
        """Ids of `text` without the tokenizer's automatic special tokens, after BOS if `lacks_bos`.

        Raises:
            InvalidRequestError: the text has a token without an embedding row.
        """
        return self.with_bos(self.text_ids(text), prepend_bos)

    def text_ids(self, text: str) -> list[int]:
        """Ids of `text` alone. May be called from several threads at the same time.

        Raises:
            InvalidRequestError: the text has a token without an embedding row.
        """
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportAssignmentType]
        self.check_embedded(ids)
        return ids

    def with_bos(self, ids: list[int], prepend_bos: bool) -> list[int]:
        """`ids` of a text, after BOS if `lacks_bos`."""
        bos = self.bos_token_id
        return [bos, *ids] if bos is not None and self.lacks_bos(ids, prepend_bos) else ids

    def lacks_bos(self, ids: Sequence[int], prepend_bos: bool) -> bool:
        """Whether BOS is prepended to `ids`: if requested, the model has one, and they don't begin with it."""
        return prepend_bos and self.bos_token_id is not None and list(ids[:1]) != [self.bos_token_id]

    def check_embedded(self, ids: Sequence[int]) -> None:
        """Raises InvalidRequestError where an id has no embedding row: the model cannot run it."""
        if (without_row := next((i for i in ids if i >= self.n_embeddings), None)) is not None:
            token = self.tokenizer.convert_ids_to_tokens(without_row)
            raise InvalidRequestError(
                f"The token {token!r} (id {without_row}) has no embedding row: this model has {self.n_embeddings} rows"
                ". Leave it out of the text."
            )

    @cached_property
    def n_embeddings(self) -> int:
        """Number of rows of the embedding matrix; the tokenizer may have more tokens."""
        embedding: Any = self.hf.get_input_embeddings()
        return embedding.weight.shape[0]

    @property
    def tokens_without_embedding(self) -> dict[str, int]:
        """Tokens of the tokenizer that have no embedding row, with their ids in ascending order."""
        vocabulary = self.tokenizer.get_vocab().items()
        return dict(sorted((pair for pair in vocabulary if pair[1] >= self.n_embeddings), key=lambda pair: pair[1]))

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """What each token of a sequence adds to its text; joined, they are `decode(ids)`.

        A character made of several tokens stands at the token that completes it; the earlier ones have "".
        """
        return sequence_strings(self.tokenizer, ids)

    def single_token_strings(self, ids: Sequence[int]) -> list[str]:
        """Each token alone, as it would read inside a text; a byte that is no whole character as `<0xE4>`."""
        return single_strings(self.tokenizer, ids)

    def special_mask(self, ids: Sequence[int]) -> list[bool]:
        """Whether each id is a special token (BOS, end of turn, ...)."""
        return [i in self._special_ids for i in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens included."""
        return decode_all(self.tokenizer, [ids])[0]


def read_origin(location: str) -> str:
    """A description of the weights: `origin` of `memicos.json` in a local folder, else the folder's name or hub id."""
    path = Path(location) / "memicos.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))["origin"]
    return path.parent.resolve().name if path.parent.is_dir() else location


def load_model(
    model_id: str, location: str, device: str = "cpu", dtype: str = "float32", token: str | None = None
) -> LanguageModel:
    """Load the model at `location`, a local folder in Hugging Face layout or a hub id.

    Weights are unprocessed (no LayerNorm folding, no centring), as SAEs see them. `trust_remote_code` is never set.

    Raises:
        OSError: there is no model at `location` (huggingface_hub's errors derive from it).
        ValueError: transformers doesn't know the model, or tensors are missing.
    """
    tokenizer = AutoTokenizer.from_pretrained(location, token=token, trust_remote_code=False)
    model_and_info: Any = AutoModelForCausalLM.from_pretrained(
        location,
        dtype=DTYPES[dtype],
        token=token,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    loaded, info = model_and_info
    if missing := sorted(info["missing_keys"]):
        # transformers initialises missing tensors with random numbers
        raise ValueError(f"the weights at {location} lack {len(missing)} tensors, for example {missing[0]}")
    return _language_model(model_id, location, loaded.to(device).eval(), tokenizer, device, dtype)


class _ShapesOnly(FakeTensorMode):
    """Tensors with shapes and without values, for forward passes that depend on few values.

    A number that is read from a tensor is 0, as the length of a short text. One element of a tensor is not zero, as in
    a mixture of experts that one token is routed to.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return _zero(args[0].dtype)
        if func is torch.ops.aten.nonzero.default and isinstance(args[0], FakeTensor):
            with self:
                return torch.zeros(1, args[0].dim(), dtype=torch.int64, device=args[0].device)
        return super().__torch_dispatch__(func, types, args, kwargs)


def _zero(dtype: torch.dtype) -> bool | int | float:
    return False if dtype == torch.bool else 0.0 if dtype.is_floating_point else 0


def load_model_outline(model_id: str, location: str, dtype: str = "float32") -> LanguageModel:
    """Load the model in the folder `location` from its configuration and tokenizer, without weights.

    Its tensors have shapes and no values; a number that a forward pass reads from one is 0. A forward pass raises
    RuntimeError where shapes depend on values, as in JetMoE's experts.

    Raises: as `load_model`; AttributeError if the configuration lacks a field of a language model.
    """
    tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
    config = AutoConfig.from_pretrained(location, trust_remote_code=False)
    # some classes cannot initialise weights that have no values
    with _ShapesOnly(), no_init_weights():
        hf = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype], trust_remote_code=False).eval()
        # the default implementation of experts groups tokens by the values of their router
        hf.set_experts_implementation("batched_mm")
        hf.tie_weights()  # initialisation would do it
    return _language_model(model_id, location, hf, tokenizer, "cpu", dtype)


def max_context(config: Any) -> int:
    """Largest number of tokens that a configuration states; DEFAULT_MAX_CONTEXT where it states none."""
    stated = (getattr(config, name, None) for name in _CONTEXT_FIELDS)
    return next((length for length in stated if isinstance(length, int) and length > 0), DEFAULT_MAX_CONTEXT)


def _language_model(model_id: str, location: str, hf: Any, tokenizer: Any, device: str, dtype: str) -> LanguageModel:
    config = hf.config.get_text_config(decoder=True)
    use_text_positions(hf)
    return LanguageModel(
        id=model_id,
        origin=read_origin(location),
        location=location,
        hf=hf,
        tokenizer=tokenizer,
        device=torch.device(device),
        dtype=DTYPES[dtype],
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        d_vocab=config.vocab_size,
        max_context=max_context(config),
        length_limits=use_text_lengths(hf),
    )
