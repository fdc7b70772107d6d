"""Methods of explaining: what pages say of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExplanationMethod:
    """`title`: the heading of its page; `short`: beside an explanation; `from_texts`: a language model can be asked,
    with `from_attributions` of a feature whose examples have direct feature attributions."""

    name: str
    title: str
    short: str
    description: str
    from_texts: bool = True
    from_attributions: bool = False


_ALL = (
    ExplanationMethod(
        "eleuther_acts_top20",
        "Marked texts",
        "by a language model, from marked texts",
        "A language model sees up to 20 texts on which the feature is most active, with marks around the strongly "
        "active tokens, and says what the marked tokens have in common. Activations are not shown, so that texts with "
        "weak and strong activations count alike (after Paulo et al. 2024).",
    ),
    ExplanationMethod(
        "np_acts-logits-general",
        "Marked texts and logits",
        "by a language model, from marked texts and logits",
        "A language model sees texts with marks around the strongly active tokens, and the tokens whose logits the "
        "feature raises. It decides which of the two says more.",
    ),
    ExplanationMethod(
        "np_max-act",
        "Strongest tokens",
        "by a language model, from the strongest tokens",
        "A language model sees the most active token of each text, the token after it, and a short text around it.",
    ),
    ExplanationMethod(
        "np_max-act-logits",
        "Strongest tokens and logits",
        "by a language model, from the strongest tokens and logits",
        "As with the strongest tokens, and the tokens whose logits the feature raises: a feature may be known by what "
        "it makes the model say next.",
    ),
    ExplanationMethod(
        "oai_token-act-pair",
        "Tokens with activations",
        "by a language model, from tokens with activations",
        "A language model sees every token of the texts with its activation as a whole number from 0 to 10 (after "
        "Bills et al. 2023).",
    ),
    ExplanationMethod(
        "oai_attention-head",
        "Attention features",
        "by a language model, from pairs of tokens",
        "For features of attention layers: a language model sees which tokens contributed to the activation on which "
        "token, by direct feature attribution. It needs a dataset that has these contributions.",
        from_attributions=True,
    ),
    ExplanationMethod(
        "token-statistics",
        "Token statistics",
        "token statistics, no language model",
        "The tokens and words that are typical of the feature's strongest examples, found by counting. It needs no "
        "language model and no key.",
        from_texts=False,
    ),
    ExplanationMethod(
        "human", "Written by a person", "written by a person", "A person wrote the explanation.", from_texts=False
    ),
)
METHODS = {method.name: method for method in _ALL}

DEFAULT_METHOD = "eleuther_acts_top20"
FORMER_NAMES = {"highlighted-tokens": DEFAULT_METHOD}
"""Names of earlier versions, which requests may still use."""


def current_name(name: str) -> str:
    return FORMER_NAMES.get(name, name)


def short_description(name: str) -> str:
    """What pages say of a method beside an explanation: of an unknown one its name."""
    method = METHODS.get(current_name(name))
    return method.short if method else name
