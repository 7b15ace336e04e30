"""Which servers may be asked, and with which key.

A shared configuration file may name any address, and a wrong one would receive prompts and keys:
so only https is allowed beyond this machine, never an address where a cloud hands out credentials,
and a key goes only to the host it was meant for.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from llmrg.errors import ConfigError

OPENAI_HOST = "api.openai.com"
_NO_KEY = "not-needed"  # the SDK insists on some key

# The link-local addresses come on top.
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog"})
_METADATA_ADDRESSES = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)


def checked_url(base_url: str) -> SplitResult:
    """Refuse addresses that would leak a key or a prompt.

    Names are not looked up: a name that leads to a metadata server fails at its certificate,
    because https is required for every host but this machine.

    Raises:
        ConfigError: if it is no address, holds a password, is plain http to another machine, or is
            where a cloud hands out credentials.
    """
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise ConfigError(f"base_url '{base_url}' is not an address: {error}") from None
    if url.username is not None or url.password is not None:
        raise ConfigError(
            f"base_url for {host} holds a user name or password; put the key into an environment "
            "variable and name it in api_key_env"
        )
    if url.scheme not in ("http", "https") or not host:
        raise ConfigError(f"base_url '{base_url}' must look like https://HOST/v1")
    address = _address(host)
    if host.rstrip(".") in _METADATA_NAMES or (
        address is not None and (address.is_link_local or address in _METADATA_ADDRESSES)
    ):
        raise ConfigError(f"base_url '{base_url}' is a cloud's metadata address, not a model")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigError(f"base_url '{base_url}': http is only for this machine; use https")
    return url


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The host as a number, also in the old spellings that resolvers accept, or None."""
    host = host.rstrip(".").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))  # "0x7f.1", "2852039166"
        except (OSError, ValueError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, in whatever spelling."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")


def key_for(host: str, variable: str | None) -> SecretStr:
    """Read the key for a host from the environment.

    Args:
        variable: where it is. By default OPENAI_API_KEY, but only for OpenAI's own host: another
            host never sees a key it was not given. This machine needs none.

    Raises:
        ConfigError: if there is no key, or it cannot be one.
    """
    if variable is None and host == OPENAI_HOST:
        variable = "OPENAI_API_KEY"
    key = os.environ.get(variable, "").strip() if variable else ""
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {variable} holds characters no key has")
    if not key and not is_loopback(host):
        way_out = f"set {variable}" if variable else "name its variable in api_key_env"
        raise ConfigError(f"{host} needs a key from an environment variable; {way_out}")
    return SecretStr(key or _NO_KEY)
