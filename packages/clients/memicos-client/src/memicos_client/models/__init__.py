"""Contains all the data models used in inputs/outputs"""

from .activation import Activation
from .activation_row import ActivationRow
from .add_host_request import AddHostRequest
from .available import Available
from .available_entry import AvailableEntry
from .change_host_request import ChangeHostRequest
from .chat_message import ChatMessage
from .chat_message_role import ChatMessageRole
from .chat_result import ChatResult
from .chat_settings import ChatSettings
from .chat_settings_steer_method import ChatSettingsSteerMethod
from .choose_label_request import ChooseLabelRequest
from .completed_upload import CompletedUpload
from .created_vector import CreatedVector
from .created_vector_response import CreatedVectorResponse
from .delete_response import DeleteResponse
from .deleted_upload import DeletedUpload
from .deleted_vector import DeletedVector
from .embedder_health import EmbedderHealth
from .embedder_health_state import EmbedderHealthState
from .error_body import ErrorBody
from .example_body import ExampleBody
from .explain_features_request import ExplainFeaturesRequest
from .explanation_body import ExplanationBody
from .explanation_body_parameters_type_0 import ExplanationBodyParametersType0
from .explanation_hit import ExplanationHit
from .explanation_list import ExplanationList
from .explanation_search_result import ExplanationSearchResult
from .explanation_search_result_examplerecipes import (
    ExplanationSearchResultExamplerecipes,
)
from .explanation_summary import ExplanationSummary
from .export_request import ExportRequest
from .export_request_format import ExportRequestFormat
from .feature_body import FeatureBody
from .feature_body_comments_item import FeatureBodyCommentsItem
from .feature_body_lists_item import FeatureBodyListsItem
from .feature_id import FeatureId
from .generate_request import GenerateRequest
from .generate_response import GenerateResponse
from .health_body import HealthBody
from .health_body_status import HealthBodyStatus
from .host_removed import HostRemoved
from .import_request import ImportRequest
from .import_request_missing import ImportRequestMissing
from .inference_host_body import InferenceHostBody
from .inference_host_body_state import InferenceHostBodyState
from .inference_host_health import InferenceHostHealth
from .inference_host_health_state import InferenceHostHealthState
from .inference_host_list import InferenceHostList
from .job import Job
from .job_detail import JobDetail
from .job_list import JobList
from .job_state import JobState
from .log_line import LogLine
from .missing_sources import MissingSources
from .model_body import ModelBody
from .name_body import NameBody
from .name_request import NameRequest
from .neuron_body import NeuronBody
from .new_activation import NewActivation
from .new_upload_request import NewUploadRequest
from .new_vector_request import NewVectorRequest
from .new_vector_request_hooktype import NewVectorRequestHooktype
from .output_delta import OutputDelta
from .plan import Plan
from .plan_source import PlanSource
from .plan_space import PlanSpace
from .ranked_feature_body import RankedFeatureBody
from .received_part import ReceivedPart
from .recipe import Recipe
from .reject import Reject
from .sae_recipe import SaeRecipe
from .score_body import ScoreBody
from .score_body_parameters_type_0 import ScoreBodyParametersType0
from .score_deleted import ScoreDeleted
from .score_features_request import ScoreFeaturesRequest
from .score_generated import ScoreGenerated
from .score_request import ScoreRequest
from .score_step import ScoreStep
from .score_step_stage import ScoreStepStage
from .search_all_body import SearchAllBody
from .search_all_request import SearchAllRequest
from .search_all_request_rank import SearchAllRequestRank
from .search_all_result import SearchAllResult
from .search_all_result_examplerecipes import SearchAllResultExamplerecipes
from .search_all_result_rank import SearchAllResultRank
from .search_all_result_recipes import SearchAllResultRecipes
from .search_all_results import SearchAllResults
from .search_criteria import SearchCriteria
from .search_model_body import SearchModelBody
from .search_release_body import SearchReleaseBody
from .search_sources_body import SearchSourcesBody
from .skipped_sources_body import SkippedSourcesBody
from .source_body import SourceBody
from .source_body_saelensconfig import SourceBodySaelensconfig
from .source_set_body import SourceSetBody
from .steer_answer import SteerAnswer
from .steer_chat_answer import SteerChatAnswer
from .steer_chat_request import SteerChatRequest
from .steer_chat_request_steer_method import SteerChatRequestSteerMethod
from .steer_delta import SteerDelta
from .steer_feature import SteerFeature
from .steer_request import SteerRequest
from .steer_request_steer_method import SteerRequestSteerMethod
from .stored_data import StoredData
from .stored_set import StoredSet
from .stored_source import StoredSource
from .token_counts import TokenCounts
from .token_logprob import TokenLogprob
from .top_feature import TopFeature
from .top_logprob import TopLogprob
from .topk_request import TopkRequest
from .topk_result import TopkResult
from .topk_results import TopkResults
from .topk_token import TopkToken
from .turn import Turn
from .upload_activations_request import UploadActivationsRequest
from .upload_body import UploadBody
from .upload_body_state import UploadBodyState
from .upload_file import UploadFile
from .upload_file_state import UploadFileState
from .upload_job import UploadJob
from .upload_job_state import UploadJobState
from .upload_metadata import UploadMetadata
from .upload_request import UploadRequest
from .uploaded_activation import UploadedActivation
from .uploaded_activations import UploadedActivations
from .vector_body import VectorBody
from .vector_list import VectorList
from .vector_request import VectorRequest
from .vector_response import VectorResponse
from .visibility import Visibility

__all__ = (
    "Activation",
    "ActivationRow",
    "AddHostRequest",
    "Available",
    "AvailableEntry",
    "ChangeHostRequest",
    "ChatMessage",
    "ChatMessageRole",
    "ChatResult",
    "ChatSettings",
    "ChatSettingsSteerMethod",
    "ChooseLabelRequest",
    "CompletedUpload",
    "CreatedVector",
    "CreatedVectorResponse",
    "DeletedUpload",
    "DeletedVector",
    "DeleteResponse",
    "EmbedderHealth",
    "EmbedderHealthState",
    "ErrorBody",
    "ExampleBody",
    "ExplainFeaturesRequest",
    "ExplanationBody",
    "ExplanationBodyParametersType0",
    "ExplanationHit",
    "ExplanationList",
    "ExplanationSearchResult",
    "ExplanationSearchResultExamplerecipes",
    "ExplanationSummary",
    "ExportRequest",
    "ExportRequestFormat",
    "FeatureBody",
    "FeatureBodyCommentsItem",
    "FeatureBodyListsItem",
    "FeatureId",
    "GenerateRequest",
    "GenerateResponse",
    "HealthBody",
    "HealthBodyStatus",
    "HostRemoved",
    "ImportRequest",
    "ImportRequestMissing",
    "InferenceHostBody",
    "InferenceHostBodyState",
    "InferenceHostHealth",
    "InferenceHostHealthState",
    "InferenceHostList",
    "Job",
    "JobDetail",
    "JobList",
    "JobState",
    "LogLine",
    "MissingSources",
    "ModelBody",
    "NameBody",
    "NameRequest",
    "NeuronBody",
    "NewActivation",
    "NewUploadRequest",
    "NewVectorRequest",
    "NewVectorRequestHooktype",
    "OutputDelta",
    "Plan",
    "PlanSource",
    "PlanSpace",
    "RankedFeatureBody",
    "ReceivedPart",
    "Recipe",
    "Reject",
    "SaeRecipe",
    "ScoreBody",
    "ScoreBodyParametersType0",
    "ScoreDeleted",
    "ScoreFeaturesRequest",
    "ScoreGenerated",
    "ScoreRequest",
    "ScoreStep",
    "ScoreStepStage",
    "SearchAllBody",
    "SearchAllRequest",
    "SearchAllRequestRank",
    "SearchAllResult",
    "SearchAllResultExamplerecipes",
    "SearchAllResultRank",
    "SearchAllResultRecipes",
    "SearchAllResults",
    "SearchCriteria",
    "SearchModelBody",
    "SearchReleaseBody",
    "SearchSourcesBody",
    "SkippedSourcesBody",
    "SourceBody",
    "SourceBodySaelensconfig",
    "SourceSetBody",
    "SteerAnswer",
    "SteerChatAnswer",
    "SteerChatRequest",
    "SteerChatRequestSteerMethod",
    "SteerDelta",
    "SteerFeature",
    "SteerRequest",
    "SteerRequestSteerMethod",
    "StoredData",
    "StoredSet",
    "StoredSource",
    "TokenCounts",
    "TokenLogprob",
    "TopFeature",
    "TopkRequest",
    "TopkResult",
    "TopkResults",
    "TopkToken",
    "TopLogprob",
    "Turn",
    "UploadActivationsRequest",
    "UploadBody",
    "UploadBodyState",
    "UploadedActivation",
    "UploadedActivations",
    "UploadFile",
    "UploadFileState",
    "UploadJob",
    "UploadJobState",
    "UploadMetadata",
    "UploadRequest",
    "VectorBody",
    "VectorList",
    "VectorRequest",
    "VectorResponse",
    "Visibility",
)
