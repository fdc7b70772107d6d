"""Settings of a webapp under test."""

from memicos_webapp.settings import Settings

SECRET_KEY = "a secret for tests of the webapp"


def make_settings(url: str, **changes: object) -> Settings:
    """Settings for a test, independent of the environment and of any `.env` file."""
    changes = {"secret_key": SECRET_KEY, **changes}
    return Settings(_env_file=None, database_url=url, **changes)  # pyright: ignore[reportCallIssue]
