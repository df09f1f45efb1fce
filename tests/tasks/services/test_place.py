"""Ports and secrets are chosen once, and no secret is where others read it."""

import json
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tasks.errors import TercetError
from tasks.services import place, postgres, python, redis, s3, stack


def test_what_is_chosen_stays_and_differs(project):
    first = place.made()
    assert place.made() == first == place.known()
    assert len(set(first.ports.values())) == len(first.ports) == len(place.LISTENING)
    assert len(set(first.secrets.values())) == len(place.SECRETS)
    assert min(map(len, first.secrets.values())) >= 32
    assert project in first.home.parents


def test_two_at_once_choose_the_same(project):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: place.made(), range(8)))
    assert all(each == found[0] for each in found)


def test_a_port_that_somebody_has_taken_is_chosen_anew_unless_it_is_in_use(project):
    first = place.made()
    with ExitStack() as taken:
        for name in ("redis", "filer"):
            each = taken.enter_context(socket.socket())
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((place.HOST, first.ports[name]))
            each.listen()
        second = place.moved(first, ["redis", "postgres"])
    assert second.ports == {**first.ports, "redis": second.ports["redis"]}
    assert second.ports["redis"] not in first.ports.values()
    assert place.known() == second
    assert place.moved(second, ["redis", "filer"]) == second


def test_projects_have_secrets_of_their_own(tmp_path, monkeypatch):
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found.append(place.made())
    assert not set(found[0].secrets.values()) & set(found[1].secrets.values())


def test_what_an_earlier_version_chose_stays_and_what_it_lacked_is_chosen(project):
    first = place.made()
    kept = {name: value for name, value in first.secrets.items() if not name.startswith("mlflow")}
    (place.HOME / "secrets.json").write_text(json.dumps(kept))
    second = place.made().secrets
    assert set(second) == set(place.SECRETS)
    assert {name: second[name] for name in kept} == kept
    assert (place.HOME / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"postgres": 1}'])
def test_a_damaged_file_is_told(project, text):
    place.made()
    (place.HOME / "ports.json").write_text(text)
    with pytest.raises(TercetError, match=r"ports\.json: not there, or not whole"):
        place.known()


def test_no_secret_is_an_argument_or_shown_or_readable_by_others(project, monkeypatch):
    monkeypatch.setattr(postgres, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(s3, "program", lambda: "/usr/bin/weed")
    found = place.made()
    redis.prepare(found)
    python.prepare(found)
    s3.prepare(found)
    services = stack.every(found)
    assert {each.name for each in services} == {"postgres", "s3", "redis", "mlflow", "prefect", "background", "worker"}
    for secret in found.secrets.values():
        for service in services:
            assert not [word for word in service.argv if secret in word], service.name
            assert secret not in repr(service)
    for path in (path for path in found.home.rglob("*") if path.is_file()):
        if any(secret in path.read_text() for secret in found.secrets.values()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_every_service_listens_on_this_machine_alone(project, monkeypatch):
    monkeypatch.setattr(postgres, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(s3, "program", lambda: "/usr/bin/weed")
    found = place.made()
    redis.prepare(found)
    told = [word for each in stack.every(found) for word in (*each.argv, *map("=".join, each.environment.items()))]
    assert not [word for word in told if "0.0.0.0" in word]
    assert (found.home / "redis" / "redis.conf").read_text().startswith("bind 127.0.0.1\n")


def test_variables_of_the_user_lead_no_service_elsewhere(project, monkeypatch):
    monkeypatch.setattr(postgres, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(s3, "program", lambda: "/usr/bin/weed")
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "PREFECT_SERVER_API_HOST"):
        monkeypatch.setenv(name, "http://elsewhere")
    for service in stack.every(place.made()):
        if service.name in ("mlflow", "prefect", "background", "worker"):
            assert "http://elsewhere" not in service.environment.values()
    assert os.environ["PREFECT_API_URL"] == "http://elsewhere"
