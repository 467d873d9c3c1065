"""The deployment files, checked without a daemon: against their schemas, with promtool, and against each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams.config import settings
from streams.web.metrics import Metrics
from tests.needs import require

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
OPERATIONS = ROOT / "docs" / "operations.md"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROMTOOL_SECONDS_MAX = 60


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def promtool(*arguments: str) -> str:
    binary = shutil.which("promtool")
    if binary is None:
        require("REQUIRE_PROMTOOL", "expected promtool, found none: install it (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [binary, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=PROMTOOL_SECONDS_MAX
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def instructions(name: str) -> list[str]:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def test_alert_rules_fire_and_stay_quiet_as_their_tests_say() -> None:
    """`promtool test rules` runs every case in alerts.test.yml."""
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


def test_prometheus_accepts_its_configuration() -> None:
    """`promtool check config` reads the scrape configuration and the rules it names."""
    assert "13 rules found" in promtool("check", "config", "prometheus.yml")


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(rules: list[dict[str, Any]]) -> None:
    """An alert whose silence is untested pages at night."""
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    # One evaluation may show both: of two topics only the bad one is named.
    selective = {"FiftytwoRejects"}

    names = {rule["alert"] for rule in rules}
    assert fires == names
    assert quiet | selective == names


def test_every_alert_says_what_it_means_and_what_to_do(rules: list[dict[str, Any]]) -> None:
    """Severity, summary, description, and a chapter of docs/operations.md that exists."""
    headings = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor) == ("docs/operations.md", rule["alert"].lower())
        assert anchor in anchors


def test_alerts_use_only_metrics_that_exist(rules: list[dict[str, Any]]) -> None:
    """A rule on a metric that was renamed never fires and never says so."""
    registry = CollectorRegistry()
    Metrics(registry, version="1")
    known = {name for family in registry.collect() for name in (family.name, f"{family.name}_total")}
    used = {name for rule in rules for name in re.findall(r"fiftytwo_\w+", rule["expr"])}

    assert used - known == set()


def test_compose_file_holds_to_the_published_schema(compose: dict[str, Any]) -> None:
    """The Compose Specification's own JSON Schema accepts the file."""
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    # Merge keys are resolved by the loader, extensions (x-) are free; what is left is what the schema sees.
    jsonschema.Draft202012Validator(schema).validate(compose)


def test_every_service_is_restarted_bounded_and_ordinary_user(compose: dict[str, Any]) -> None:
    """No service runs as root, gains privileges, fills the disk with its log or stays down after a crash."""
    for name, service in compose["services"].items():
        assert service["restart"] in {"unless-stopped", "on-failure:5"}, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        if "build" in service:
            # The image's own user, which the Dockerfile sets.
            assert service["build"]["dockerfile"] == DOCKERFILE.relative_to(ROOT).as_posix()
        else:
            assert service["user"] not in {"root", "0", 0}, name


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    """A tag that moves is another program tomorrow."""
    images = [service["image"] for service in compose["services"].values()]
    (base,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)

    for image in [*images, base]:
        _, _, tag = image.rpartition(":")
        assert re.fullmatch(r"v?\d+\.\d+\.\d+(-[\w-]+)?", tag), image


def test_what_runs_for_long_is_checked_and_what_has_data_keeps_it(compose: dict[str, Any]) -> None:
    """Kafka, the worker, the clock and Prometheus have health checks; data are on named volumes."""
    services = compose["services"]

    assert {name for name, service in services.items() if "healthcheck" in service} == {
        "kafka",
        "worker",
        "clock",
        "prometheus",
    }
    kept = {entry.partition(":")[0] for service in services.values() for entry in service.get("volumes", [])}
    assert {entry for entry in kept if not entry.startswith(".")} == set(compose["volumes"])


def test_services_start_in_order(compose: dict[str, Any]) -> None:
    """Topics wait for a broker that answers; worker and clock wait for topics that exist."""
    services = compose["services"]

    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in ("worker", "clock"):
        assert services[name]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}


def test_only_loopback_ports_are_published(compose: dict[str, Any]) -> None:
    """Nothing here has a password, so nothing is offered beyond this machine."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_services_set_only_known_settings(compose: dict[str, Any]) -> None:
    """Every FIFTYTWO_ variable is a key of the configuration."""
    known = {setting.variable for setting in settings()}
    used = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith("FIFTYTWO_")
    }

    assert "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS" in used
    assert used - known == set()


def test_prometheus_scrapes_the_port_that_the_worker_listens_on(compose: dict[str, Any]) -> None:
    """Compose file, scrape configuration and image name one port."""
    scrape = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"][0]
    (discovery,) = scrape["dns_sd_configs"]
    worker = compose["services"]["worker"]

    assert discovery["names"] == ["worker"]
    assert discovery["port"] == worker["environment"]["FIFTYTWO_WEB_PORT"] == int(instructions("EXPOSE")[0])
    assert f":{discovery['port']}/health/live" in " ".join(worker["healthcheck"]["test"])


def test_files_mounted_into_services_exist(compose: dict[str, Any]) -> None:
    """Compose would make a folder of a missing file."""
    mounted = [
        entry.partition(":")[0]
        for service in compose["services"].values()
        for entry in service.get("volumes", [])
        if entry.startswith("./")
    ]

    assert mounted
    assert all((ROOT / path).is_file() for path in mounted)


def test_image_runs_as_a_user_who_can_write_the_compiled_cache() -> None:
    """The cache is warmed by the user who reads it, for any processor of the platform."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    (user,) = instructions("USER")
    (environment,) = instructions("ENV")
    folder = re.search(r"NUMBA_CACHE_DIR=(\S+)", environment)

    assert user == "fiftytwo"
    assert "NUMBA_CPU_NAME=generic" in environment
    assert folder is not None
    assert f"install --directory --owner {user} --group {user} {folder[1]}" in text
    assert text.index("USER fiftytwo") < text.index('RUN ["fiftytwo", "warm"]')


def test_image_is_built_from_a_wheel_without_the_embedded_broker() -> None:
    """Two stages; only wheels reach the second; the extra of the demo stays out."""
    text = DOCKERFILE.read_text(encoding="utf-8")

    assert len(instructions("FROM")) == 2
    assert "pip wheel" in text
    assert "--no-index --find-links /wheels fiftytwo " in text
    assert "[demo]" not in text
    assert "noida" not in text


def test_build_context_holds_what_the_image_copies_and_nothing_else() -> None:
    """What .dockerignore lets through is what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {source.removeprefix("./") for entry in instructions("COPY") for source in entry.split()[:-1]}

    assert "*" in lines
    assert let_through == copied
