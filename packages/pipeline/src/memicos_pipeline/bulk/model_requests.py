"""What a dataset stores of the requests to a language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memicos_autointerp_core.providers.chat import TokenUsage
from memicos_dataset.checks.request_columns import write_parameters


@dataclass(frozen=True)
class ModelRequests:
    """The requests of one explanation or score.

    Attributes:
        template_version: of the method's prompt.
        profile: name of the provider's profile.
        parameters: what shaped the prompts and the answers.
        usage: tokens; None where the provider does not count them.
        cost: US dollars; None where the profile has no price.
    """

    template_version: int
    profile: str
    parameters: Mapping[str, Any]
    usage: TokenUsage | None
    cost: float | None

    def columns(self) -> dict[str, Any]:
        """The columns `schema.REQUEST_COLUMNS`."""
        return {
            "template_version": self.template_version,
            "profile": self.profile,
            "parameters": write_parameters(self.parameters),
            "prompt_tokens": self.usage.prompt_tokens if self.usage else None,
            "completion_tokens": self.usage.completion_tokens if self.usage else None,
            "cost": self.cost,
        }
