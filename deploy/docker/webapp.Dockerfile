# For the classic builder and for BuildKit. Build from the root of the repository:
#   docker build -f deploy/docker/webapp.Dockerfile -t memicos/webapp .
FROM python:3.11-slim-bookworm AS requirements
WORKDIR /build
# a separate file: dependencies are installed again when it changes, not when code or a pyproject.toml changes
COPY packages packages
COPY services services
COPY deploy/docker/install.sh deploy/docker/members.py deploy/docker/
# also of imports from buckets, which the worker runs from this image
RUN sh deploy/docker/install.sh requirements 'memicos-webapp[buckets]'

FROM python:3.11-slim-bookworm AS dependencies
WORKDIR /build
COPY requirements.lock ./
COPY deploy/docker/install.sh deploy/docker/members.py deploy/docker/
RUN sh deploy/docker/install.sh tools
COPY --from=requirements /requirements.txt ./
RUN sh deploy/docker/install.sh dependencies

FROM dependencies AS code
COPY packages packages
COPY services services
RUN sh deploy/docker/install.sh code memicos-webapp

FROM python:3.11-slim-bookworm
RUN groupadd -g 1000 memicos && useradd -u 1000 -g memicos -d /app -s /usr/sbin/nologin memicos && \
    mkdir -p /app/.data && chown -R memicos:memicos /app
COPY --from=dependencies /opt/memicos /opt/memicos
COPY LICENSE /app/
COPY --from=code /opt/code /opt/code
ENV PATH=/opt/memicos/bin:/opt/code/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MEMICOS_HOST=0.0.0.0
WORKDIR /app
USER memicos
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "memicos_service.healthcheck", "http://127.0.0.1:3000/health"]
CMD ["python", "-m", "memicos_webapp"]
