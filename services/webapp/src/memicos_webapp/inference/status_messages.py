"""Wording of the state of inference on pages: ready, loading, down, refused."""

from memicos_inference_client.models import CapabilitiesResponse, HealthResponse

READY = "inference ready"
NOT_RUNNING = "inference is not running"
WRONG_SECRET = "inference refuses the secret"
NONE_ENABLED = "no inference server is enabled"


def ready(capabilities: CapabilitiesResponse) -> str:
    """READY, with the length beyond which the server's self-test has verified no values."""
    boundary = capabilities.selftest.unverified_beyond
    return f"{READY}; values beyond {boundary:,} tokens are not verified" if isinstance(boundary, int) else READY


def loading(health: HealthResponse) -> str:
    """For example "loading, 42 %: reading weights"; comes after "inference is"."""
    return f"loading, {round(100 * health.progress_fraction)} %: {health.progress}"


def load_failed(health: HealthResponse) -> str:
    """Comes after "inference"."""
    return f"could not load its model: {health.progress}"


def secret_missing(variable: str) -> str:
    return f"{variable} is not set"


def not_loaded(missing: str) -> str:
    """`missing` is a model or a source."""
    return f"no inference server has {missing} loaded"
