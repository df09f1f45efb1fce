"""No secret of an address is ever shown, wherever in it it stands and whatever quotes it."""

from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

import pytest
import sqlalchemy
from hypothesis import example, given
from hypothesis import strategies as st

from tasks import redact
from tasks.errors import TrackingError
from tasks.track import server

PLACES = (
    "http://user:{}@host:5000/base",
    "http://{}@host:5000",
    "http://user:{}@host",
    "postgresql://u:{}@host/db",
    "postgresql+psycopg2://{}:p@host/db",
    "postgresql://host/db?user=u&password={}",
    "mysql://host/db?password={}&ssl=1",
    "http://host:5000/?token={}",
    "http://host:5000?{}",
    "http://host:5000/path#{}",
    "sqlite:///store.db?key={}",
)
ENDS = ("Zq", "Qz")  # of every secret: they stand in no message of ours
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=12).map(
    lambda inner: ENDS[0] + inner + ENDS[1]
)


@given(st.sampled_from(PLACES), secrets)
@example("http://user:{}@host", "Zq3cr3t/passQz")
@example("http://user:{}@host", "Zq5000/pass@wordQz")
@example("http://{}@host:5000", "Zqsecret/slashQz")
@example("postgresql://u:{}@host/db", "Zq'quo\"tedQz")
@example("postgresql://u:{}@host/db", "Zq\\backQz")
@example("mysql://host/db?password={}&ssl=1", "Zqa@bQz")
@example("postgresql://u:{}@host/db", "Zqa?bQz")
def test_a_secret_is_never_shown(place: str, secret: str) -> None:
    for written in (secret, quote(secret, safe="")):
        address = place.format(written)
        told = [redact.shown(address), redact.redact(address), redact.redact(f"no answer from {address} today")]
        for message in (*said(address), f"cannot use {address!r}", f"{unquote(written)} is wrong", f"('{written}', 1)"):
            told.append(redact.redact(message, address))
            with pytest.raises(TrackingError) as raised, server.told("sqlite:///absent.db"):
                raise OSError(redact.redact(message, address))
            told.append(str(raised.value))
        assert not [line for line in told if any(end in line for end in ENDS)], address


def said(address: str) -> list[str]:
    """What the libraries that read an address say of it."""
    found = []
    for read in (lambda: urlsplit(address).port, lambda: sqlalchemy.engine.make_url(address)):
        with suppress(sqlalchemy.exc.NoSuchModuleError):
            try:
                read()
            except (ValueError, sqlalchemy.exc.ArgumentError) as error:
                found.append(str(error))
    return found


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://u:p@host:5000", "http://host:5000"),
        ("postgresql+psycopg2://u:p@s@db/x", "postgresql+psycopg2://db/x"),
        ("postgresql://u:pa/ss@db/x", "postgresql://db/x"),
        ("https://host/a/b?token=x#y", "https://host/a/b"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("/a/folder", "/a/folder"),
    ],
)
def test_what_is_no_secret_stays(uri: str, shown: str) -> None:
    assert redact.shown(uri) == shown
    assert redact.redact(f"no answer from {uri} today", uri) == f"no answer from {shown} today"
    assert redact.redact(f"no answer from {uri} today") == f"no answer from {shown} today"


def test_a_short_part_is_cut_out_as_a_word_only() -> None:
    assert redact.redact("error: mode=ro is refused", "sqlite:///x.db?mode=ro") == "error: *** is refused"


def test_secrets_of_the_environment_are_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0k3n-of-mine")
    assert redact.redact("Bearer t0k3n-of-mine is refused", "http://host") == "Bearer *** is refused"
