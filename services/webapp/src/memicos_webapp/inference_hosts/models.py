"""Table of inference hosts."""

from sqlalchemy import Identity, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class InferenceHost(Base):
    """An inference server that the webapp may call.

    `secret_variable` names the environment variable that has its secret; the secret itself is never stored.
    `configured`: it comes from INFERENCE_URL or MEMICOS_INFERENCE_HOSTS and is written anew at each start.
    """

    __tablename__ = "inference_host"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    url: Mapped[str] = mapped_column(Text)
    secret_variable: Mapped[str | None] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    configured: Mapped[bool] = mapped_column(server_default=text("false"))
