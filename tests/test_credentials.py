"""Passwords: refused on the command line, moved out of URIs, and shown nowhere."""

from __future__ import annotations

import os
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewa.credentials import brief, has_password, redacted, refuse_password, split_login, without_secrets
from rewa.errors import UserError
from rewa.store_uri import check_store, resolve_uri, sqlite_path

CANARY = "c4naryPassw0rd"

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD"):
        monkeypatch.setenv(name, "")  # so that what the code sets is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"http://me:{CANARY}@host:5000", "http://me:***@host:5000"),
        (f"https://:{CANARY}@host/path", "https://:***@host/path"),
        (f"postgresql+psycopg2://me:{CANARY}@host/db", "postgresql+psycopg2://me:***@host/db"),
        (f"postgresql://me:{CANARY}/#?{CANARY}@{CANARY}@host/db", "postgresql://me:***@host/db"),
        (
            f"postgresql://host/db?user=me&password={CANARY}&x=1",
            "postgresql://host/db?user=me&password=***&x=1",
        ),
        (f"s3://key:{CANARY}@bucket/path", "s3://key:***@bucket/path"),
        (f"https://host/?X-Token={CANARY}", "https://host/?X-Token=***"),
    ],
)
def test_a_password_is_found_shown_as_stars_and_refused(uri: str, shown: str) -> None:
    assert has_password(uri)
    assert redacted(uri) == shown
    with pytest.raises(UserError, match=r"^--storage: .* holds a password") as refused:
        refuse_password("--storage", uri)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5000",
        "http://me@host:5000/x",
        "https://[::1]:5000/a/b",
        "postgresql://rewa@127.0.0.1:5432/mlflow?sslmode=require",
        "sqlite:////home/me:x@y/mlflow.db",
        "sqlite:///mlflow.db",
        "file:///a:b@c",
        "s3://bucket/key",
        "gs://bucket",
        "",
        "not a uri",
    ],
)
def test_what_holds_no_password_stays_as_it_is(uri: str) -> None:
    assert not has_password(uri)
    assert redacted(uri) == uri
    refuse_password("--tracking-uri", uri)


@given(
    user=st.text(string.ascii_letters + string.digits + "%-_.", max_size=8),
    password=st.text(string.printable.replace("\x0b", "").replace("\x0c", ""), min_size=6, max_size=20),
    host=st.text(string.ascii_lowercase, min_size=1, max_size=8),
    scheme=st.sampled_from(["http", "https", "postgresql", "mysql+pymysql", "s3"]),
)
def test_no_password_survives_whatever_it_holds(user: str, password: str, host: str, scheme: str) -> None:
    """Also uncoded @, :, / and ? in it; the truth is the three parts that the URI was made of."""
    uri = f"{scheme}://{user}:Q{password}Q@{host}/db"
    assert redacted(uri) == f"{scheme}://{user}:***@{host}/db"
    assert split_login(uri) == (f"{scheme}://{host}/db", user, f"Q{password}Q")


def test_the_option_is_refused_before_anything_else(cli: Cli) -> None:
    for words in (["sweep", "digits"], ["ui"], ["train", "digits", "rewa", "--set", "lr=0.1"]):
        status, out, err = cli(*words, "--tracking-uri", f"http://me:{CANARY}@127.0.0.1:1")
        assert status == 2
        assert CANARY not in out + err
        for name in ("USERNAME", "PASSWORD", "TOKEN"):
            assert f"MLFLOW_TRACKING_{name}" in err
        assert err.count("\n") == 1


def test_a_login_in_the_environment_moves_to_mlflows_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://m%40e:{CANARY}%2F@host:5000/x")
    assert resolve_uri(None) == "http://host:5000/x"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "m@e"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == f"{CANARY}/"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://host:5000/x", "children see it too"
    assert resolve_uri(None) == "http://host:5000/x"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == f"{CANARY}/"


def test_a_database_password_moves_to_libpqs_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:{CANARY}@host/db")
    assert resolve_uri(None) == "postgresql+psycopg2://me@host/db"
    assert os.environ["PGPASSWORD"] == CANARY


def test_errors_are_told_without_the_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", CANARY)
    assert without_secrets(f"401 for Bearer {CANARY}") == "401 for Bearer ***"
    assert without_secrets("at http://u:hunter22@h:1/x now") == "at http://u:***@h:1/x now"
    assert brief(ValueError(f"x {CANARY}\nsecond")) == "x ***"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a")
    assert without_secrets("as far as it goes") == "as far as it goes"


def test_errors_of_mlflows_client_come_down_to_their_cause() -> None:
    start = "API request to http://h:1/api failed with exception HTTPConnectionPool(host='h', port=1): "
    for text, gist in {
        "Max retries exceeded with url: /x (Caused by ResponseError('too many 503 error responses'))": (
            "the server answers with status 503"
        ),
        '(Caused by NewConnectionError("Failed: [Errno 111] Connection refused"))': "Connection refused",
        "Read timed out. (read timeout=30)": "no answer in time",
        "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))": (
            "the connection was closed"
        ),
    }.items():
        assert brief(RuntimeError(start + text)) == gist


def test_stores_with_strange_addresses_are_told_not_crashed_on() -> None:
    assert sqlite_path("sqlite:////a/b.db").__fspath__() == "/a/b.db"  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no server answers there"):
        check_store("http://127.0.0.1:1")
    with pytest.raises(UserError, match="no longer writes file stores"):
        resolve_uri("file:///x")
