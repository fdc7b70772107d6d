# For the classic builder and for BuildKit. Build from the root of the repository:
#   docker build -f deploy/docker/inference-cuda.Dockerfile -t memicos/inference-cuda .
FROM python:3.11-slim-bookworm AS requirements
WORKDIR /build
# a separate file: dependencies are installed again when it changes, not when code or a pyproject.toml changes
COPY packages packages
COPY services services
COPY deploy/docker/install.sh deploy/docker/members.py deploy/docker/
RUN sh deploy/docker/install.sh requirements 'memicos-inference[gguf]'

FROM python:3.11-slim-bookworm AS dependencies
WORKDIR /build
COPY requirements.lock ./
COPY deploy/docker/install.sh deploy/docker/members.py deploy/docker/
RUN sh deploy/docker/install.sh tools
# torch's wheels bring CUDA itself; the host needs a driver for it and the NVIDIA Container Toolkit
# index of torch's CUDA builds; empty: pip's own indexes, which must then have such a build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu130
RUN sh deploy/docker/install.sh torch cuda || \
    { echo "With compose, TORCH_CUDA_INDEX in deploy/docker/.env sets this index." >&2; exit 1; }
COPY --from=requirements /requirements.txt ./
RUN sh deploy/docker/install.sh dependencies

FROM dependencies AS code
COPY packages packages
COPY services services
RUN sh deploy/docker/install.sh code memicos-inference

FROM python:3.11-slim-bookworm
# .data: fetched models; hub: the hub's cache. Volumes that are mounted there start with this owner.
RUN groupadd -g 1000 memicos && useradd -u 1000 -g memicos -d /app -s /usr/sbin/nologin memicos && \
    mkdir -p /app/.data /hub && chown -R memicos:memicos /app /hub
COPY --from=dependencies /opt/memicos /opt/memicos
COPY LICENSE /app/
COPY --from=code /opt/code /opt/code
ENV PATH=/opt/memicos/bin:/opt/code/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/hub \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    INFERENCE_HOST=0.0.0.0
WORKDIR /app
USER memicos
EXPOSE 5002
# ready or loading; a model that failed to load makes the container unhealthy
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "memicos_service.healthcheck", "http://127.0.0.1:5002/health"]
CMD ["python", "-m", "memicos_inference"]
