"""The capabilities that the model's thread publishes for the threads of requests."""

from memicos_inference.loaded_model import LoadedModel
from memicos_inference.status import service
from memicos_inference.status.schemas import CapabilitiesResponse
from memicos_inference.verification.state import Verification


class PublishedCapabilities:
    """Capabilities of the loaded model, which any thread may read while the model's thread is busy."""

    def __init__(self, verification: Verification) -> None:
        self._verification = verification
        self._described: CapabilitiesResponse | None = None

    def update(self, loaded: LoadedModel) -> None:
        """Describe the model and its sources anew. In the model's thread, when its sources have changed."""
        self._described = service.describe(loaded, self._verification)

    def body(self, loaded: LoadedModel) -> bytes:
        """The JSON body of `/v1/capabilities`.

        Raises:
            RuntimeError: `update` was not called yet.
        """
        if self._described is None:
            raise RuntimeError("the model was loaded without PublishedCapabilities.update")
        response = service.capabilities(self._described, loaded.source_cache.loaded, self._verification)
        return response.model_dump_json().encode()
