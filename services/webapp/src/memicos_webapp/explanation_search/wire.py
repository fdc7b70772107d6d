"""Results of search by meaning as the JSON API has them."""

from memicos_webapp import recipes
from memicos_webapp.activation_search.schemas import ExampleBody, NeuronBody, WordsBody
from memicos_webapp.explanation_search.repository import Example
from memicos_webapp.explanation_search.schemas import ExplanationHit, ExplanationSearchResult, SearchedFor, Skipped
from memicos_webapp.explanation_search.service import Answer, Hit


def _example(hit: Hit, example: Example) -> ExampleBody:
    context = hit.contexts[example.context]
    values = [example.values.get(i, 0.0) for i in range(len(context.tokens))]
    strongest = max(range(len(values)), key=values.__getitem__)
    return ExampleBody(
        tokens=context.tokens, values=values, max_value=values[strongest], max_value_token_index=strongest
    )


def _neuron(hit: Hit) -> NeuronBody:
    feature = hit.feature
    return NeuronBody(
        modelId=hit.source.model_id,
        layer=hit.source.name,
        source=hit.source.name,
        index=str(feature.index),
        maxActApprox=feature.max_activation,
        frac_nonzero=feature.density,
        pos_str=[token for token, _ in feature.positive],
        pos_values=[value for _, value in feature.positive],
        neg_str=[token for token, _ in feature.negative],
        neg_values=[value for _, value in feature.negative],
        explanations=[
            WordsBody(description=one["description"], type_name=one["method"], explanation_model_name=one["model"])
            for one in feature.explanations
        ],
        activations=[_example(hit, example) for example in feature.examples],
    )


def _hit(hit: Hit) -> ExplanationHit:
    ranked = hit.ranked
    matched = [name for name, by in (("meaning", ranked.by_meaning), ("words", ranked.by_words)) if by]
    return ExplanationHit(
        modelId=hit.source.model_id,
        layer=hit.source.name,
        source=hit.source.name,
        index=str(ranked.index),
        description=hit.words.description,
        explanationModelName=hit.words.model,
        typeName=hit.words.method,
        cosine_similarity=ranked.cosine,
        matchedBy=matched,
        neuron=_neuron(hit),
    )


def answer(request: SearchedFor, found: Answer) -> ExplanationSearchResult:
    sources = {f"{hit.source.model_id}/{hit.source.name}": hit.source for hit in found.hits}
    return ExplanationSearchResult(
        request=request,
        results=[_hit(hit) for hit in found.hits],
        resultsCount=len(found.hits),
        hasMore=found.next_offset is not None,
        nextOffset=found.next_offset,
        skipped=[Skipped(modelId=gap.model, sources=gap.sources, reason=gap.reason) for gap in found.gaps],
        exampleRecipes={name: recipes.of_dataset(source) for name, source in sources.items()},
    )
