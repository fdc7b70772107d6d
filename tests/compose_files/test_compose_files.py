"""Requirements on every compose file and Dockerfile of deploy/docker; no docker is needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from memicos_webapp.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy/docker"
FILES = sorted(DOCKER.glob("*.yaml"))
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
SECRETS = (
    "POSTGRES_PASSWORD", "PGPASSWORD", "INFERENCE_SECRET", "AUTOINTERP_SECRET", "MEMICOS_SECRET_KEY",
    "GF_SECURITY_ADMIN_PASSWORD",
)  # fmt: skip
PASSED_ON = {("compose.own-database.yaml", "PGPASSWORD")}
"""Secrets of the user's own, set in the container only where the user sets them."""
REQUIRED = re.compile(r"\$\{[A-Z_]+:\?run make init-env\}")
OVERLAYS = {"compose.gpu.yaml", "compose.inference-port.yaml", "compose.autointerp-port.yaml"}
"""They add to services of other files."""
PORTS = {
    "compose.yaml": {"webapp": "${MEMICOS_HOST:-127.0.0.1}:${MEMICOS_PORT:-3000}:3000"},
    "compose.own-database.yaml": {"webapp": "${MEMICOS_HOST:-127.0.0.1}:${MEMICOS_PORT:-3000}:3000"},
    "compose.demo.yaml": {"webapp": "${MEMICOS_HOST:-127.0.0.1}:${MEMICOS_PORT:-3000}:3000"},
    "compose.inference-port.yaml": {"inference": "${INFERENCE_HOST:-127.0.0.1}:${INFERENCE_PORT:-5002}:5002"},
    "compose.autointerp-port.yaml": {"autointerp": "${AUTOINTERP_HOST:-127.0.0.1}:${AUTOINTERP_PORT:-5003}:5003"},
    "compose.monitoring.yaml": {"grafana": "${GRAFANA_HOST:-127.0.0.1}:${GRAFANA_PORT:-3001}:3000"},
}
"""All that is published."""


def services(file: Path) -> dict[str, dict[str, Any]]:
    """The services of a file, with extended definitions merged."""
    services_by_name: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]
    for name, service in services_by_name.items():
        if base := service.get("extends"):
            services_by_name[name] = services(file.with_name(base["file"]))[base["service"]] | service
    return services_by_name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_needs_no_feature_that_only_some_versions_of_compose_have(file: Path) -> None:
    document = yaml.safe_load(file.read_text())
    assert set(document) <= {"services", "networks", "volumes"}
    for service in document["services"].values():
        assert not {"develop", "pull_policy", "annotations", "attach", "provider"} & set(service)
        for dependency in service.get("depends_on", {}):
            # `required: false` is new; docker-compose 1.29 refuses it
            assert not isinstance(service["depends_on"], dict) or set(service["depends_on"][dependency]) == {
                "condition"
            }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_only_these_ports_are_published_and_on_loopback(file: Path) -> None:
    published = {name: service["ports"] for name, service in services(file).items() if "ports" in service}
    assert published == {name: [port] for name, port in PORTS.get(file.name, {}).items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_secrets_have_no_default(file: Path) -> None:
    for name, service in services(file).items():
        for variable, value in (service.get("environment") or {}).items():
            if variable in SECRETS and (file.name, variable) not in PASSED_ON:
                assert REQUIRED.fullmatch(value), (name, variable)
            elif re.search(r"KEY|TOKEN|SECRET|PASSWORD", variable):
                assert value is None, (name, variable)
    assert "POSTGRES_HOST_AUTH_METHOD" not in file.read_text()


@pytest.mark.parametrize("file", [f for f in FILES if f.name not in OVERLAYS], ids=lambda file: file.name)
def test_every_service_is_confined(file: Path) -> None:
    for name, service in services(file).items():
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service and "stop_grace_period" in service and "logging" in service, name
        assert service["restart"] == ("no" if name in ("import", "model") else "unless-stopped"), name
        # PostgreSQL's entrypoint changes from root to its own user
        assert name == "database" or service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service and "network_mode" not in service, name
        for volume in service.get("volumes", ()):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if source.startswith("."):
                assert volume.endswith(":ro") if isinstance(volume, str) else volume["read_only"], (name, source)


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What a service mounts, by the path in the container."""
    mounted: dict[str, str] = {}
    for volume in service.get("volumes", ()):
        if isinstance(volume, dict):
            mounted[volume["target"]] = volume["source"]
        else:
            source, target = re.fullmatch(r"(\$\{.+?\}|[^:]+):([^:]+)(?::ro)?", volume).groups()  # pyright: ignore[reportOptionalMemberAccess]
            mounted[target] = source
    return mounted


def base_mounts(file: Path, name: str) -> dict[str, str]:
    """What a service mounts; compose merges the volumes of a definition that is extended."""
    service = yaml.safe_load(file.read_text())["services"][name]
    base = service.get("extends")
    return (base_mounts(file.with_name(base["file"]), base["service"]) if base else {}) | mounts(service)


@pytest.mark.parametrize("file", [f for f in FILES if f.name not in OVERLAYS], ids=lambda file: file.name)
def test_volumes_are_declared_and_may_be_folders_of_the_host(file: Path) -> None:
    document = yaml.safe_load(file.read_text())
    sources = {source for name in document["services"] for source in base_mounts(file, name).values()}
    named = {
        re.sub(r"^\$\{[A-Z_]+:-(.+)\}$", r"\1", source) for source in sources if not source.startswith(("..", "./"))
    }
    if file.name != "services.yaml":
        assert named == set(document.get("volumes") or {})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (file, name)
        for file in ("compose.yaml", "compose.demo.yaml", "compose.own-database.yaml")
        for name in ("webapp", "worker", "import")
        if name != "import" or file == "compose.demo.yaml"
    ],
)
def test_whatever_imports_has_the_same_folder_for_conversions(file: str, name: str) -> None:
    assert base_mounts(DOCKER / file, name)["/app/.data"] == "${WEBAPP_DATA:-webapp-data}"
    # where the settings put conversions in the image's working folder, which its user may write
    assert Settings.model_fields["data"].default / "imports" == Path(".data/imports")
    dockerfile = (DOCKER / "webapp.Dockerfile").read_text()
    assert "WORKDIR /app\n" in dockerfile and "mkdir -p /app/.data && chown -R memicos:memicos /app" in dockerfile


@pytest.mark.parametrize("file", ["compose.yaml", "compose.demo.yaml"])
def test_the_database_is_on_a_network_without_a_way_out(file: str) -> None:
    assert yaml.safe_load((DOCKER / file).read_text())["networks"] == {"database": {"internal": True}}
    for name, service in services(DOCKER / file).items():
        networks = service["networks"]
        assert networks == ["database"] if name == "database" else "default" in networks
        assert ("database" in networks) == (name in ("database", "webapp", "worker", "import"))


@pytest.mark.parametrize("file", ["compose.yaml", "compose.demo.yaml", "compose.own-database.yaml"])
def test_a_worker_runs_the_background_jobs_of_each_webapp(file: str) -> None:
    worker, webapp = (services(DOCKER / file)[name] for name in ("worker", "webapp"))
    assert worker["command"] == ["python", "-m", "memicos_webapp.worker"]
    # the image's check asks for pages
    assert worker["healthcheck"] == {"disable": True}
    assert (worker["image"], worker["environment"]) == (webapp["image"], webapp["environment"])
    assert "ports" not in worker and worker["restart"] == "unless-stopped"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_is_not_root_has_a_health_check_and_builds_with_the_classic_builder(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    final = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER memicos" in final
    assert any(line.startswith("HEALTHCHECK") for line in final)
    text = "\n".join(lines)
    assert "--mount" not in text and "<<" not in text and "COPY --link" not in text
    assert not re.search(r"(ENV|ARG).*(KEY|TOKEN|SECRET|PASSWORD)", text)
    # a change of code does not rebuild the layer with the dependencies
    copies = [line for line in final if line.startswith("COPY --from")]
    assert [copy.split()[2] for copy in copies] == ["/opt/memicos", "/opt/code"]


def test_there_is_an_image_for_each_service() -> None:
    names = {file.name.removesuffix(".Dockerfile") for file in DOCKERFILES}
    assert names == {"webapp", "autointerp", "inference", "inference-cuda"}


def test_the_build_context_has_no_secrets_and_no_data() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert allowed == {
        "requirements.lock", "LICENSE", "packages", "services", "deploy/docker/members.py", "deploy/docker/install.sh",
    }  # fmt: skip
    assert {"**/.env*", "**/tests", "**/.data"} <= set(rules)


def test_grafana_finds_the_dashboard_and_its_data_source() -> None:
    import json

    grafana = services(DOCKER / "compose.monitoring.yaml")["grafana"]
    provider = yaml.safe_load((DOCKER / "grafana/dashboards/memicos.yaml").read_text())["providers"][0]
    source = yaml.safe_load((DOCKER / "grafana/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert f"../grafana:{provider['options']['path']}:ro" in grafana["volumes"]
    dashboard = json.loads((ROOT / "deploy/grafana/memicos-inference.json").read_text())
    variable = next(item for item in dashboard["templating"]["list"] if item["name"] == "datasource")
    assert (variable["type"], variable["query"]) == ("datasource", source["type"])
    assert source["url"] == "http://prometheus:9090" and source["isDefault"]
