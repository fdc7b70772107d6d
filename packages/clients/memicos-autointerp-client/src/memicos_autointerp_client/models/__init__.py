"""Contains all the data models used in inputs/outputs"""

from .activation import Activation
from .classified_text import ClassifiedText
from .embedded_text import EmbeddedText
from .error_body import ErrorBody
from .error_body_cause import ErrorBodyCause
from .explain_request import ExplainRequest
from .explain_response import ExplainResponse
from .explain_response_parameters import ExplainResponseParameters
from .health_response import HealthResponse
from .profile_state import ProfileState
from .score_embedding_request import ScoreEmbeddingRequest
from .score_embedding_response import ScoreEmbeddingResponse
from .score_embedding_response_failures import ScoreEmbeddingResponseFailures
from .score_fuzz_detection_request import ScoreFuzzDetectionRequest
from .score_fuzz_detection_request_type import ScoreFuzzDetectionRequestType
from .score_fuzz_detection_response import ScoreFuzzDetectionResponse
from .score_fuzz_detection_response_failures import ScoreFuzzDetectionResponseFailures
from .usage import Usage

__all__ = (
    "Activation",
    "ClassifiedText",
    "EmbeddedText",
    "ErrorBody",
    "ErrorBodyCause",
    "ExplainRequest",
    "ExplainResponse",
    "ExplainResponseParameters",
    "HealthResponse",
    "ProfileState",
    "ScoreEmbeddingRequest",
    "ScoreEmbeddingResponse",
    "ScoreEmbeddingResponseFailures",
    "ScoreFuzzDetectionRequest",
    "ScoreFuzzDetectionRequestType",
    "ScoreFuzzDetectionResponse",
    "ScoreFuzzDetectionResponseFailures",
    "Usage",
)
