"""Contains all the data models used in inputs/outputs"""

from .activation import Activation
from .breakdown_text import BreakdownText
from .classified_text import ClassifiedText
from .embedded_text import EmbeddedText
from .error_body import ErrorBody
from .error_body_cause import ErrorBodyCause
from .explain_request import ExplainRequest
from .explain_response import ExplainResponse
from .explain_response_parameters import ExplainResponseParameters
from .health_response import HealthResponse
from .output_text import OutputText
from .profile_state import ProfileState
from .score_embedding_request import ScoreEmbeddingRequest
from .score_embedding_response import ScoreEmbeddingResponse
from .score_embedding_response_failures import ScoreEmbeddingResponseFailures
from .score_explanation_request import ScoreExplanationRequest
from .score_explanation_request_method import ScoreExplanationRequestMethod
from .score_explanation_response import ScoreExplanationResponse
from .score_explanation_response_failures import ScoreExplanationResponseFailures
from .score_fuzz_detection_request import ScoreFuzzDetectionRequest
from .score_fuzz_detection_request_type import ScoreFuzzDetectionRequestType
from .score_fuzz_detection_response import ScoreFuzzDetectionResponse
from .score_fuzz_detection_response_failures import ScoreFuzzDetectionResponseFailures
from .score_output_request import ScoreOutputRequest
from .score_output_request_kind import ScoreOutputRequestKind
from .score_output_response import ScoreOutputResponse
from .score_output_response_failures import ScoreOutputResponseFailures
from .score_progress import ScoreProgress
from .text_to_score import TextToScore
from .usage import Usage

__all__ = (
    "Activation",
    "BreakdownText",
    "ClassifiedText",
    "EmbeddedText",
    "ErrorBody",
    "ErrorBodyCause",
    "ExplainRequest",
    "ExplainResponse",
    "ExplainResponseParameters",
    "HealthResponse",
    "OutputText",
    "ProfileState",
    "ScoreEmbeddingRequest",
    "ScoreEmbeddingResponse",
    "ScoreEmbeddingResponseFailures",
    "ScoreExplanationRequest",
    "ScoreExplanationRequestMethod",
    "ScoreExplanationResponse",
    "ScoreExplanationResponseFailures",
    "ScoreFuzzDetectionRequest",
    "ScoreFuzzDetectionRequestType",
    "ScoreFuzzDetectionResponse",
    "ScoreFuzzDetectionResponseFailures",
    "ScoreOutputRequest",
    "ScoreOutputRequestKind",
    "ScoreOutputResponse",
    "ScoreOutputResponseFailures",
    "ScoreProgress",
    "TextToScore",
    "Usage",
)
