"""What runs the services elsewhere is what its schema allows, names fixed images, and opens nothing by itself."""

import ast
import json
import os
import re
import stat
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft202012Validator
from prefect.settings import Settings
from prefect.settings.legacy import _get_valid_setting_names

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())
MANIFESTS = sorted(path for path in (ROOT / "infra" / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
UNITS = sorted((ROOT / "infra" / "systemd").iterdir())
OBJECTS = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]
PODS = [each["spec"]["template"]["spec"] for each in OBJECTS if each["kind"] in ("Deployment", "StatefulSet")]
PINNED = re.compile(r"^[\w./-]+:\d+\.\d+[\w.-]*$")


def test_the_compose_file_is_one():
    schema = get_builtin_schema("vendor.compose-spec")
    errors = [f"{list(error.path)}: {error.message}" for error in Draft202012Validator(schema).iter_errors(COMPOSE)]
    assert not errors
    broken = {**COMPOSE, "services": {"redis": {"imagee": "redis"}}}
    assert list(Draft202012Validator(schema).iter_errors(broken))


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_a_container_is_pinned_watched_and_private(service):
    told = COMPOSE["services"][service]
    assert PINNED.match(told["image"]), told["image"]
    assert all(port.startswith("127.0.0.1:") for port in told.get("ports", []))
    assert told["restart"] in ("unless-stopped", "on-failure:5")
    if service != "buckets":  # which ends
        assert {"test", "interval", "timeout", "retries"} <= set(told["healthcheck"])
    if told["image"].startswith("tercet"):
        assert told["read_only"]
        assert told["cap_drop"] == ["ALL"]
    for needed in told.get("depends_on", {}):
        assert needed in COMPOSE["services"]
    for name in told.get("secrets", []):
        assert COMPOSE["secrets"][name]["file"].startswith("secrets/")
    for volume in told.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]


@pytest.mark.parametrize("place", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_what_kubernetes_takes(place):
    for each in yaml.safe_load_all(place.read_text()):
        kubernetes_validate.validate(each, "1.32", strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**each, "specc": {}}, "1.32", strict=True)


def test_kustomize_takes_each_manifest_and_no_other():
    told = yaml.safe_load((ROOT / "infra" / "kubernetes" / "kustomization.yaml").read_text())
    assert sorted(told["resources"]) == [path.name for path in MANIFESTS]
    assert [each["newTag"] for each in told["images"]] == ["0.1.0"]


def test_pods_run_without_rights_and_say_what_they_take():
    assert len(PODS) == 7
    for pod in PODS:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["image"] == "tercet" or PINNED.match(container["image"])
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"memory", "cpu"} <= set(container["resources"]["requests"])
            mounted = {each["name"] for each in container["volumeMounts"]}
            known = {each["name"] for each in pod["volumes"]} | {"data"}
            assert mounted <= known


def test_services_lead_to_pods_that_listen_there():
    pods = {each["spec"]["template"]["metadata"]["labels"]["app"]: each["spec"]["template"]["spec"]
            for each in OBJECTS if each["kind"] in ("Deployment", "StatefulSet")}  # fmt: skip
    for each in (each for each in OBJECTS if each["kind"] == "Service"):
        pod = pods[each["spec"]["selector"]["app"]]
        ports = {port["containerPort"] for container in pod["containers"] for port in container.get("ports", [])}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
        assert "type" not in each["spec"]  # of the cluster alone


def variables(text):
    return set(re.findall(r"\b((?:PREFECT|MLFLOW)_[A-Z0-9_]+)\b", text))


def test_every_variable_is_one_that_prefect_or_mlflow_reads():
    """A misspelt setting is silently none."""
    places = [ROOT / "infra" / "compose.yaml", ROOT / "infra" / "image" / "with-secrets", ROOT / "prefect.yaml"]
    places += [ROOT / "tasks" / "services" / "python.py", *MANIFESTS]
    named = set().union(*(variables(path.read_text()) for path in places)) - {"PREFECT_", "MLFLOW_"}
    known = {name.upper() for name in _get_valid_setting_names(Settings)}
    of_redis = ("HOST", "PORT", "DB", "PASSWORD", "CONSUMER_MIN_IDLE_TIME")
    redis = {f"PREFECT_REDIS_MESSAGING_{name}" for name in of_redis}  # of prefect-redis
    mlflow = {name for name in named if name.startswith("MLFLOW_")}
    assert named - mlflow - known - redis == set()
    package = Path(str(next(iter(__import__("mlflow").__path__))))
    text = "".join((package / each).read_text() for each in ("environment_variables.py", "cli/__init__.py"))
    assert [name for name in mlflow if name not in text] == []


def test_no_image_floats_and_nothing_that_is_gone_is_named():
    for path in (path for path in (ROOT / "infra").rglob("*") if path.is_file() and path.suffix != ".png"):
        text = path.read_text(errors="replace").lower()
        assert "min" + "io" not in text, path
        assert ":latest" not in text, path


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(unit, tmp_path):
    """Programs that are installed elsewhere are named by one that is here; all else is systemd's own judgement."""
    for each in UNITS:
        text = re.sub(r"(?<=ExecStart=)\S+", "/bin/true", each.read_text())
        (tmp_path / each.name).write_text(text)
    name = unit.name.replace("@.", "@local.")
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:", "SYSTEMD_LOG_LEVEL": "warning"}
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    complaints = [line for line in said.stderr.splitlines() if "tercet-" in line]
    assert said.returncode == 0, said.stderr
    assert complaints == []


def test_units_run_as_nobody_special_and_programs_of_ours():
    scripts = Path(sys.executable).parent
    for unit in UNITS:
        for program in re.findall(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE):
            assert "User=tercet" in unit.read_text()
            assert program.startswith("/usr/bin/") or (scripts / Path(program).name).exists(), program


def test_secrets_are_made_once_and_differ(tmp_path):
    make = [ROOT / "infra" / "image" / "make-secrets", tmp_path / "secrets"]
    found = []
    for _ in range(2):
        subprocess.run(make, timeout=60, check=True)
        found.append({path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()})
    assert found[0] == found[1]
    plain = {name: text for name, text in found[0].items() if name != "s3"}
    assert set(plain) | {"s3"} == set(COMPOSE["secrets"])
    assert len(set(plain.values())) == len(plain)
    assert all(re.fullmatch(r"[0-9a-f]{48}", text) for text in plain.values())
    (identity,) = json.loads(found[0]["s3"])["identities"]
    assert identity["credentials"] == [{"accessKey": plain["s3-key"], "secretKey": plain["s3-secret"]}]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_what_is_made_of_secrets_reaches_the_program_by_its_environment_alone(tmp_path):
    for name in ("postgres", "redis", "s3-key", "s3-secret", "prefect", "mlflow", "mlflow-cookies"):
        (tmp_path / name).write_text(f"secret-of-{name}")
    script = ROOT / "infra" / "image" / "with-secrets"
    ask = "import os, pathlib; print((dict(os.environ), pathlib.Path('/proc/self/cmdline').read_text()))"
    users = tmp_path / "users.ini"
    env = {
        "SECRETS": str(tmp_path), "PATH": os.environ["PATH"], "SERVES": "1", "MLFLOW_AUTH_CONFIG_PATH": str(users),
    }  # fmt: skip
    said = subprocess.run(
        [script, sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True, env=env
    )
    found, words = ast.literal_eval(said.stdout)
    assert (
        found["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
        == "postgresql+asyncpg://tercet:secret-of-postgres@postgres:5432/prefect"
    )
    assert found["MLFLOW_BACKEND_STORE_URI"].endswith("tercet:secret-of-postgres@postgres:5432/mlflow")
    assert found["PREFECT_SERVER_DOCKET_URL"] == "redis://:secret-of-redis@redis:6379/1"
    assert found["PREFECT_SERVER_API_AUTH_STRING"] == found["PREFECT_API_AUTH_STRING"] == "tercet:secret-of-prefect"
    assert found["AWS_SECRET_ACCESS_KEY"] == "secret-of-s3-secret"
    assert found["MLFLOW_TRACKING_PASSWORD"] == found["MLFLOW_AUTH_ADMIN_PASSWORD"] == "secret-of-mlflow"
    assert found["MLFLOW_FLASK_SERVER_SECRET_KEY"] == "secret-of-mlflow-cookies"
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    told = ConfigParser(interpolation=None)
    told.read(users)
    assert told["mlflow"]["database_uri"] == found["MLFLOW_BACKEND_STORE_URI"]
    assert "secret-of" not in words
    bare = subprocess.run(
        [script, sys.executable, "-c", ask],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"SECRETS": "/nowhere", "PATH": os.environ["PATH"]},
    )
    assert "PREFECT_API_AUTH_STRING" not in ast.literal_eval(bare.stdout)[0]


def test_secrets_go_into_no_commit_and_no_image():
    """Where compose.yaml and the manifests say that they are made."""
    ignored = ["git", "check-ignore", "--quiet", "infra/secrets/postgres"]
    assert subprocess.run(ignored, cwd=ROOT, timeout=60, check=False).returncode == 0
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"infra/secrets", ".tercet", ".dvc/config.local"} <= set(left_out)
    assert COMPOSE["secrets"]["s3"]["file"] == "secrets/s3"
