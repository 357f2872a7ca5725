"""Which proxy a request to a model server goes through."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_LOCAL_NAMES = ("localhost", "ip6-localhost", "ip6-loopback")


def find_proxy(url: str) -> str:
    """Return the address of the proxy for `url` by the usual environment variables, or "".

    These are HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, also in small letters. A server on
    this machine is never asked through a proxy, whatever they say.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    port = f":{parts.port}" if parts.port else ""
    if not proxy or proxy_bypass(f"{host}{port}"):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: localhost, 127.0.0.0/8, ::1, 0.0.0.0, in any notation."""
    name = host.strip("[]").rstrip(".").lower()
    if name in _LOCAL_NAMES or name.endswith((".localhost", ".localdomain")):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))  # such as 127.1
        except (OSError, UnicodeError):
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def describe_proxy(proxy: str) -> str:
    """Return the proxy's address without user name and password."""
    parts = urlsplit(proxy)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
