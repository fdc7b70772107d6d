"""Ports that an orchestrator set count as unset: for the programs of the standard library as for the servers."""

import pytest
from memicos_cli import service_links
from memicos_service.variable_names import is_service_link


@pytest.mark.parametrize(
    "value", ["tcp://10.0.0.7:5002", "udp://10.0.0.7:53", "TCP://host:1", " tcp://a:1 ", "5002", "", "tcp://", "tcp"]
)
def test_the_rule_is_that_of_the_servers(value: str) -> None:
    environment = {"INFERENCE_PORT": value, "HOME": "/home/me"}
    ignored = is_service_link("INFERENCE_PORT", value)
    assert (service_links.warning(environment) is not None) == ignored
    assert service_links.without(environment) == ({"HOME": "/home/me"} if ignored else environment)


def test_the_warning_names_each_port_and_no_value() -> None:
    warning = service_links.warning({"MEMICOS_PORT": "tcp://10.0.0.6:3000", "AUTOINTERP_PORT": "tcp://10.0.0.7:5003"})
    assert warning is not None and warning.startswith("MEMICOS_PORT, AUTOINTERP_PORT in the environment: ignored")
    assert "10.0.0" not in warning
