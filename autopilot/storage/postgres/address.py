"""Where a database is, as people write it: `postgresql://[user@]host[:port]/database[?key=value…]`.

A password may come from the environment, from `~/.pgpass` or from a service file, and from nowhere that is shared or
shown: never from `autopilot.toml`, and never out again. What is printed or recorded is `shown`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from autopilot.kernel.errors import ContractError

SCHEMES = ("postgresql", "postgres")
HARMLESS = frozenset(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "oauth_client_id",
        "oauth_issuer",
        "oauth_scope",
        "passfile",
        "port",
        "replication",
        "require_auth",
        "requirepeer",
        "requiressl",
        "service",
        "servicefile",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ]
)
"""The parameters that may be shown. Every other, known or not, is treated as a password."""

# What reads an address differently from one reader to the next could show a part of a password as a host's name.
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_NOT_IN_A_URL = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Address:
    """One database. `url` may hold a password; `shown` never does."""

    url: str

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def has_password(self) -> bool:
        """Whether the URL itself holds a password."""
        return bool(self.secrets) or urlsplit(self.url).password is not None

    @property
    def secrets(self) -> frozenset[str]:
        """The passwords in the URL, each as it is written there and as it is meant; empty ones left out."""
        parts = urlsplit(self.url)
        written = [part.partition("=") for part in parts.query.split("&")]
        found = [value for name, _, value in written if unquote(name) not in HARMLESS]
        found.append(parts.password or "")
        return frozenset(text for one in found for text in (one, unquote(one)) if text)

    @property
    def shown(self) -> str:
        """The URL without passwords."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.netloc.rpartition("@")[0].partition(":")[0]
        query = [(name, value) for name, value in parse_qsl(parts.query) if name in HARMLESS]
        netloc = f"{user}@{host}" if user else host
        # Written out: `urlunsplit` drops the slashes of an empty host, which libpq needs.
        rest = urlunsplit(("", "", parts.path, urlencode(query, safe="/"), ""))
        return f"{parts.scheme}://{netloc}{rest}"


def is_address(store: str) -> bool:
    """Whether `store` names a database, by its scheme alone."""
    return store.partition("://")[0].lower() in SCHEMES and "://" in store


def parse_address(store: str, *, where: str = "store") -> Address:
    """The database that `store` names; ContractError `bad_config` for another scheme or what is no URL.

    The text is not repeated in the error: it may hold a password. An `@`, `/` or `?` in a password that is not written
    as `%40`, `%2F`, `%3F` is refused: what comes after it would be taken for a host or a database, and shown.
    """
    remedy = "write postgresql://user@host/database, or postgresql:///?service=NAME"
    try:
        parts = urlsplit(store)
        _ = parts.port
    except ValueError:
        raise ContractError("bad_config", where=where, detail="not a URL", remedy=remedy) from None
    if not is_address(store) or parts.fragment:
        raise ContractError("bad_config", where=where, detail="not a postgresql:// URL", remedy=remedy)
    ends = store.count("@") > 1 or "@" in f"{parts.path}{parts.query}"
    if ends or _BAD_PERCENT.search(store) or _NOT_IN_A_URL.search(store):
        remedy = "in user and password write %40 for @, %25 for %, %2F for / and %3F for ?"
        raise ContractError("bad_config", where=where, detail="a character that is not escaped", remedy=remedy)
    return Address(store)
