"""Refuses a model that does not fit into memory, before its weights are read: the kernel would kill the process."""

from __future__ import annotations

from pathlib import Path

from memicos_engine.errors import LoadError

from memicos_inference.settings import Settings

GIB = 1024**3


def check_memory(settings: Settings, folder: Path, description: str, device: str, source_bytes: int) -> None:
    """Compare the model in `folder`, with the largest source it serves (`source_bytes`), with the available memory.

    Weights are read into CPU memory and then moved to the device, so a GPU needs both.

    Raises:
        LoadError: it does not fit. The message has both figures, and what to change.
    """
    if not settings.memory_check:
        return
    from memicos_engine.model import memory
    from memicos_engine.model.language_model import DTYPES

    try:
        weights = memory.weight_bytes(folder, DTYPES[settings.model_dtype])
    except (OSError, ValueError, KeyError):
        return  # the loader names the damaged file
    on_cuda = device.startswith("cuda")
    needs = [(weights if on_cuda else weights + source_bytes, memory.available_on_host())]
    if on_cuda:
        needs.append((weights + source_bytes, memory.available_on_cuda(device)))
    for need, available in needs:
        if need <= available.nbytes:
            continue
        remedies = ["set INFERENCE_MEMORY_CHECK=0 to load it anyway"]
        if available.owner == memory.CONTAINER:
            remedies.insert(0, "raise the container's memory limit (INFERENCE_MEMORY in deploy/docker/.env)")
        if settings.model_dtype == "float32":
            remedies.insert(0, "set MODEL_DTYPE=bfloat16, which halves the weights")
        *others, last = remedies
        raise LoadError(
            f"{description} does not fit into memory: it needs {need / GIB:.2f} GiB in {settings.model_dtype} "
            f"({weights / GIB:.2f} of weights, the rest for its largest source), and {available.nbytes / GIB:.2f} GiB "
            f"are available in the {_owner_name(available.owner)}. To run it, "
            + (", ".join(others) + ", or " + last if others else last)
            + "."
        )


def _owner_name(owner: str) -> str:
    return owner if owner in ("machine", "container") else f"device {owner}"
