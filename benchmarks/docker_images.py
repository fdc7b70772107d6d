"""Seconds of an image build without and with cached layers, and image sizes, of each Dockerfile of deploy/docker.

    .venv/bin/python benchmarks/docker_images.py                         # the classic builder
    .venv/bin/python benchmarks/docker_images.py --buildkit --torch-index ''

A rebuild follows a change of one Python file of the image's service. The base image and the package index are as near
as the machine has them. The images have a tag of their own, which is deleted at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "python:3.11-slim-bookworm"
IMAGES = ("webapp", "autointerp", "inference")
SECONDS = 3600
MEGABYTE = 1e6


def build(docker: str, image: str, options: list[str], variables: dict[str, str]) -> float:
    """Seconds that the build took; ends the program where it fails."""
    command = [docker, "build", *options, "-f", f"deploy/docker/{image}.Dockerfile", "-t", tag(image), "."]
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        sys.exit(f"{image} could not be built:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - started


def tag(image: str) -> str:
    return f"memicos-benchmark/{image}"


def size(docker: str, image: str) -> float:
    command = [docker, "image", "inspect", image]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]["Size"] / MEGABYTE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="docker", help="the docker command")
    parser.add_argument("--buildkit", action="store_true", help="build with BuildKit, not with the classic builder")
    parser.add_argument("--torch-index", help="TORCH_INDEX of inference; empty: pip's own indexes")
    parser.add_argument("--image", choices=IMAGES, action="append", help="only these")
    arguments = parser.parse_args()
    variables = {**os.environ, "DOCKER_BUILDKIT": "1" if arguments.buildkit else "0"}
    for image in arguments.image or IMAGES:
        options = []
        if image == "inference" and arguments.torch_index is not None:
            options = ["--build-arg", f"TORCH_INDEX={arguments.torch_index}"]
        try:
            cold = build(arguments.docker, image, ["--no-cache", *options], variables)
            probe = ROOT / f"services/{image}/src/memicos_{image}/rebuild_probe.py"
            try:
                probe.write_text(f"STAMP = {time.time()}\n")
                rebuild = build(arguments.docker, image, options, variables)
            finally:
                probe.unlink()
            total_mb = size(arguments.docker, tag(image))
            own_mb = total_mb - size(arguments.docker, BASE)
            print(f"{image:<12} cold build {cold:4.0f} s, after a change of code {rebuild:3.0f} s, ", end="")
            print(f"{total_mb:5.0f} MB, without the base image {own_mb:5.0f} MB", flush=True)
        finally:
            subprocess.run([arguments.docker, "image", "rm", tag(image)], capture_output=True, check=False)


if __name__ == "__main__":
    main()
