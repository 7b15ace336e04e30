"""Which addresses and keys are let through."""

from __future__ import annotations

import pytest

from llmrg.errors import ConfigError
from llmrg.llm.endpoints import checked_url, is_loopback, key_for


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://10.0.0.5:8443/v1",
        "http://localhost:8000/v1",
        "http://gpu.localhost/v1",
        "http://127.0.0.1:8000/v1",
        "http://127.8.9.1/v1",
        "http://[::1]:8000/v1",
        "http://[::ffff:127.0.0.1]/v1",
    ],
)
def test_https_anywhere_and_http_on_this_machine_are_allowed(url):
    assert checked_url(url).geturl() == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "http://10.0.0.5/v1",
        "http://0.0.0.0/v1",
        "http://localhost.example.com/v1",
        "http://127.0.0.1.example.com/v1",
    ],
)
def test_http_to_another_machine_is_refused(url):
    with pytest.raises(ConfigError, match="use https"):
        checked_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "169.254.170.2",
        "2852039166",  # 169 * 2**24 + 254 * 2**16 + 169 * 2**8 + 254
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "metadata.google.internal",
        "METADATA.google.internal.",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_clouds_metadata_address_is_refused_in_every_spelling(scheme, host):
    with pytest.raises(ConfigError, match="metadata address"):
        checked_url(f"{scheme}://{host}/v1")


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "ftp://host/v1", "https://", "", "https:///v1"]
)
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(ConfigError, match="must look like https://HOST/v1"):
        checked_url(url)


@pytest.mark.parametrize("url", ["https://host:many/v1", "https://[::1/v1"])
def test_a_broken_address_is_refused(url):
    with pytest.raises(ConfigError, match="is not an address"):
        checked_url(url)


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        checked_url("https://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.1", True), ("::1", True), ("10.0.0.1", False), ("example", False)],
)
def test_this_machine_is_known_by_all_its_names(host, expected):
    assert is_loopback(host) is expected


def test_a_key_is_read_from_the_variable_that_was_named(monkeypatch):
    monkeypatch.setenv("MY_KEY", " secret \n")
    key = key_for("example.com", "MY_KEY")
    assert key.get_secret_value() == "secret"
    assert "secret" not in repr(key)


def test_openais_own_variable_serves_openais_own_host_only(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert key_for("api.openai.com", None).get_secret_value() == "secret"
    assert key_for("localhost", None).get_secret_value() == "not-needed"
    with pytest.raises(ConfigError, match=r"example\.com needs a key .* in api_key_env"):
        key_for("example.com", None)


def test_a_missing_key_is_named_by_its_variable(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="set MY_KEY"):
        key_for("example.com", "MY_KEY")


def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sec\nret")
    with pytest.raises(ConfigError, match="MY_KEY holds characters no key has") as caught:
        key_for("example.com", "MY_KEY")
    assert "sec" not in str(caught.value)
