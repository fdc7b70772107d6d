"""Results of text search as the JSON API has them."""

from memicos_webapp import recipes
from memicos_webapp.activation_search.repository import FoundRow
from memicos_webapp.activation_search.schemas import (
    ExampleBody,
    FoundFeature,
    NeuronBody,
    SearchAllResult,
    TopFeature,
    TopkResult,
    TopkToken,
    WordsBody,
)
from memicos_webapp.activation_search.service import ByToken, Found, Query
from memicos_webapp.catalog.schemas import SourceInfo


def neuron(model: str, row: FoundRow) -> NeuronBody:
    strongest = max(range(len(row.example_values)), key=row.example_values.__getitem__, default=None)
    examples = []
    if strongest is not None:
        examples = [
            ExampleBody(
                tokens=row.example_tokens,
                values=row.example_values,
                max_value=row.example_values[strongest],
                max_value_token_index=strongest,
            )
        ]
    return NeuronBody(
        modelId=model,
        layer=row.source,
        source=row.source,
        index=str(row.index),
        maxActApprox=row.max_activation,
        frac_nonzero=row.density,
        pos_str=[token for token, _ in row.positive],
        pos_values=[value for _, value in row.positive],
        neg_str=[token for token, _ in row.negative],
        neg_values=[value for _, value in row.negative],
        explanations=[
            WordsBody(description=one["description"], type_name=one["method"], explanation_model_name=one["model"])
            for one in row.explanations
        ],
        activations=examples,
    )


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
                neuron=neuron(query.model, hit.row) if hit.row else None,
            )
            for hit in found.hits
        ],
        sort_indexes=query.sort_indexes,
        recipes=found.recipes,
        example_recipes={source.name: recipes.of_dataset(source) for source in query.sources},
    )


def tokens(source: SourceInfo, found: ByToken, ignore_bos: bool) -> TopkResult:
    return TopkResult(
        source=source.name,
        results=[
            TopkToken(
                position=row.position,
                token=row.token,
                is_special=row.special,
                top_features=[
                    TopFeature(
                        activation_value=one.value,
                        feature_index=one.index,
                        feature=neuron(source.model_id, one.row) if one.row else None,
                    )
                    for one in row.features
                ],
            )
            for row in found.rows
            if not (ignore_bos and row.ignored)
        ],
        recipe=found.recipe,
        example_recipe=recipes.of_dataset(source),
    )
