"""Results of text search as the JSON API has them."""

from memicos_webapp import recipes
from memicos_webapp.activation_search.schemas import (
    FoundFeature,
    SearchAllResult,
    TopFeature,
    TopkResult,
    TopkToken,
)
from memicos_webapp.activation_search.service import ByToken, Found, Query
from memicos_webapp.features.schemas import NeuronBody


def features(query: Query, found: Found) -> SearchAllResult:
    return SearchAllResult(
        tokens=found.tokens,
        result=[
            FoundFeature(
                model_id=query.model,
                layer=hit.source,
                source=hit.source,
                index=str(hit.index),
                values=hit.values,
                max_value=hit.max_value,
                max_value_index=hit.max_value_index,
                sum_values=hit.sum_values,
                neuron=NeuronBody.from_card(hit.card, found.contexts[hit.card.source.corpus_id]) if hit.card else None,
            )
            for hit in found.hits
        ],
        sort_indexes=query.sort_indexes,
        recipes=found.recipes,
        example_recipes={source.name: recipes.of_dataset(source) for source in found.sources},
    )


def tokens(found: ByToken, ignore_bos: bool) -> TopkResult:
    return TopkResult(
        source=found.source.name,
        results=[
            TopkToken(
                position=row.position,
                token=row.token,
                is_special=row.special,
                top_features=[
                    TopFeature(
                        activation_value=one.value,
                        feature_index=one.index,
                        feature=NeuronBody.from_card(one.card, found.contexts[one.card.source.corpus_id])
                        if one.card
                        else None,
                    )
                    for one in row.features
                ],
            )
            for row in found.rows
            if not (ignore_bos and row.ignored)
        ],
        recipe=found.recipe,
        example_recipe=recipes.of_dataset(found.source),
    )
