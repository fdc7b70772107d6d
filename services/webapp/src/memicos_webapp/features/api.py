"""JSON of features."""

from typing import Annotated

from fastapi import APIRouter, Path

from memicos_webapp import examples
from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.errors import ErrorBody
from memicos_webapp.features import service
from memicos_webapp.features.feature_json import feature_body
from memicos_webapp.features.schemas import FeatureBody

router = APIRouter(tags=["feature"])


@router.get(
    "/feature/{model}/{source}/{index}",
    response_model=FeatureBody,
    summary="Get a feature",
    responses={
        400: {"model": ErrorBody, "description": "The index is not a whole number from 0 to 2147483647"},
        404: {"model": ErrorBody, "description": "Unknown model, source or index"},
    },
)
async def get_feature(
    session: Snapshot,
    viewer: ViewerDep,
    model: Annotated[str, Path(examples=[examples.MODEL], description="id of the model")],
    source: Annotated[str, Path(examples=[examples.SOURCE], description="id of the source, such as 15-res-4k")],
    index: Annotated[
        str, Path(examples=[examples.INDEX], description="index of the feature, a whole number from 0 on")
    ],
) -> FeatureBody:
    """Everything that a feature's dashboard shows, with all examples and explanations.

    The index is below the source's number of features; 404 says which indexes there are.
    """
    detail = await service.find(session, viewer, model, source, service.parse_index(index), token_ids=True)
    return feature_body(detail)
