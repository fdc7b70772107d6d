"""The dashboard has the form that the Grafana version of compose.monitoring.yaml reads. Grafana itself is not run.

The form is read from the TypeScript types that Grafana publishes for that version on npm. Needs Node and the registry.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from memicos_testing.docker_stack import DOCKER, ROOT, output

DASHBOARD = json.loads((ROOT / "deploy/grafana/memicos-inference.json").read_text())
GENERATOR = "ts-json-schema-generator@2.4.0"
TYPES = {
    "dashboard": ("dashboard/x/dashboard_types.gen.d.ts", "Dashboard"),
    "panel": ("dashboard/x/dashboard_types.gen.d.ts", "Panel"),
    "row": ("dashboard/x/dashboard_types.gen.d.ts", "RowPanel"),
    "stat": ("composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts", "Options"),
    "timeseries": ("composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts", "Options"),
}
"""File and name of each type."""
QUERY = {"refId", "datasource", "editorMode", "expr", "legendFormat", "range"}
"""Fields of a query, which the package has no type of: test_monitoring sends every query to Prometheus."""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """JSON schemas of the types, which refuse unknown fields."""
    assert shutil.which("npm"), "Node is not installed: apt-get install nodejs npm"
    image = yaml.safe_load((DOCKER / "compose.monitoring.yaml").read_text())["services"]["grafana"]["image"]
    folder = tmp_path_factory.mktemp("grafana")
    package = f"@grafana/schema@{image.partition(':')[2]}"
    output("npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", package, GENERATOR)
    return {name: schema(folder, file, type_name) for name, (file, type_name) in TYPES.items()}


def schema(folder: Path, file: str, type_name: str) -> dict[str, Any]:
    path = folder / "node_modules/@grafana/schema/dist/types/raw" / file
    options = ("--path", str(path), "--type", type_name, "--no-type-check", "--additional-properties")
    written = json.loads(output(str(folder / "node_modules/.bin/ts-json-schema-generator"), *options))
    for definition in written["definitions"].values():
        if definition.get("properties"):
            definition["additionalProperties"] = False
    return written


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    return [f"{list(error.instance_path)}: {error.message}" for error in jsonschema_rs.iter_errors(schema, value)]


def test_the_dashboard_has_the_fields_that_grafana_reads(schemas: dict[str, dict[str, Any]]) -> None:
    # panels and rows are checked by their own types: a union's error does not name the field
    assert errors(schemas["dashboard"], {**DASHBOARD, "panels": []}) == []
    for panel in DASHBOARD["panels"]:
        problems = errors(schemas["row" if panel["type"] == "row" else "panel"], panel)
        if panel["type"] != "row":
            problems += errors(schemas[panel["type"]], panel["options"])
        assert problems == [], panel["title"]


def test_a_field_that_grafana_does_not_read_is_an_error(schemas: dict[str, dict[str, Any]]) -> None:
    assert errors(schemas["dashboard"], {**DASHBOARD, "panels": [], "refrehs": "30s"})
    panel = next(panel for panel in DASHBOARD["panels"] if panel["type"] == "timeseries")
    assert errors(schemas["panel"], {**panel, "gridPos": {**panel["gridPos"], "h": "8"}})
    assert errors(
        schemas["timeseries"], {**panel["options"], "legend": {**panel["options"]["legend"], "placement": "top"}}
    )


def test_each_query_names_the_data_source_that_a_user_picks() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in DASHBOARD["panels"]:
        targets = panel.get("targets", [])
        assert len({target["refId"] for target in targets}) == len(targets) and bool(targets) == (
            panel["type"] != "row"
        )
        for target in targets:
            assert target.keys() == QUERY and target["datasource"] == panel["datasource"] == source, panel["title"]
            assert '{instance=~"$instance"' in target["expr"]


def test_panels_have_their_own_ids_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24
