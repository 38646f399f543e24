"""Where the server is and who asks: from arguments, else from the environment."""

import os
from urllib.parse import urlsplit

from ._errors import ConfigurationError
from ._http import Origin
from ._version import VERSION


def origin(url: str | None, key: str | None) -> Origin:
    """From `CARAWAY_URL` and `CARAWAY_API_KEY` where nothing is said."""
    url = url or os.environ.get("CARAWAY_URL")
    key = key or os.environ.get("CARAWAY_API_KEY")
    if not url:
        raise ConfigurationError("no server is named: pass url=…, or set CARAWAY_URL")
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the URL of the server has no sensible port: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("the URL of the server must begin with http:// or https:// and name a host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError("the URL of the server has no query, no fragment and no user in it")
    tls = parts.scheme == "https"
    lines = [f"Host: {parts.netloc}", f"User-Agent: caraway-python/{VERSION}", "Accept: application/json"]
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("the API key has characters that no key has")
        lines.append(f"Authorization: Bearer {key}")
    head = "".join(f"{line}\r\n" for line in lines).encode()
    return Origin(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"), head)
