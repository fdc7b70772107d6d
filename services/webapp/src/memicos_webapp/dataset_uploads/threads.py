"""Threads of uploads: apart from those of the rest of the server, which slow disks and long checks must not delay."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from memicos_webapp.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class UploadThreads:
    """`parts` writes and deletes files; `completions` reads whole datasets, which takes minutes."""

    def __init__(self, settings: Settings) -> None:
        self.parts = ThreadPoolExecutor(settings.upload_parts_at_once, "upload-part")
        self.completions = ThreadPoolExecutor(settings.upload_completions_at_once, "upload-completion")

    def close(self) -> None:
        """Wait for what runs; what waits is dropped."""
        for executor in (self.parts, self.completions):
            executor.shutdown(cancel_futures=True)


async def run(executor: ThreadPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a call in a thread of `executor`. A cancelled call that waits for a thread never runs."""
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: function(*args, **kwargs))
