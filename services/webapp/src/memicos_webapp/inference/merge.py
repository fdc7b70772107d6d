"""Merges responses of several hosts, each of which has some of the sources of one request."""

from collections.abc import Sequence

from memicos_inference_client.models import AllResponse, FeatureActivation

from memicos_webapp.errors import UpstreamFault


def merge_all(responses: Sequence[AllResponse], sources: Sequence[str], limit: int) -> AllResponse:
    """One ranking of the features of all `responses`, at most `limit`, as one host with all `sources` would give it.

    Ranks by the sum over chosen positions where the responses have one, else by the maximum; ties by the order of
    `sources`, then index.

    Raises:
        UpstreamFault: The hosts tokenize the text differently.
    """
    if len(responses) == 1:
        return responses[0]
    check_same_tokens([response.tokens for response in responses])
    position = {source: number for number, source in enumerate(sources)}

    def rank(feature: FeatureActivation) -> tuple[float, int, int]:
        score = feature.sum_values if isinstance(feature.sum_values, float | int) else feature.max_value
        return -score, position[feature.source], feature.index

    first = responses[0]
    return AllResponse(
        activations=sorted((f for response in responses for f in response.activations), key=rank)[:limit],
        tokens=first.tokens,
        tokens_is_special=first.tokens_is_special,
        token_ids=first.token_ids,
        prepended_bos=first.prepended_bos,
        sources=sorted(
            (source for response in responses for source in response.sources),
            key=lambda source: position[source.source],
        ),
    )


def check_same_tokens(tokens: Sequence[Sequence[str]]) -> None:
    """
    Raises:
        UpstreamFault: Two lists of tokens differ: the hosts run different models under one name.
    """
    if any(other != tokens[0] for other in tokens[1:]):
        raise UpstreamFault(
            "The inference servers tokenize the text differently: they run different models under one name. "
            "Compare `model` and `weights` in their /v1/capabilities."
        )
