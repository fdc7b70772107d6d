"""Contains all the data models used in inputs/outputs"""

from .activation_row import ActivationRow
from .error_body import ErrorBody
from .explanation_body import ExplanationBody
from .explanation_body_scores_item import ExplanationBodyScoresItem
from .feature_body import FeatureBody
from .feature_body_comments_item import FeatureBodyCommentsItem
from .feature_body_lists_item import FeatureBodyListsItem
from .model_body import ModelBody
from .named import Named
from .source_body import SourceBody
from .source_body_recipe import SourceBodyRecipe
from .source_body_saelensconfig import SourceBodySaelensconfig
from .source_set_body import SourceSetBody

__all__ = (
    "ActivationRow",
    "ErrorBody",
    "ExplanationBody",
    "ExplanationBodyScoresItem",
    "FeatureBody",
    "FeatureBodyCommentsItem",
    "FeatureBodyListsItem",
    "ModelBody",
    "Named",
    "SourceBody",
    "SourceBodyRecipe",
    "SourceBodySaelensconfig",
    "SourceSetBody",
)
