"""Where a database is, as people write it: `postgresql://[user@]host[:port]/database[?key=value…]`.

A password may come from the environment, from `~/.pgpass` or from a service file, and from nowhere that is shared or
shown: never from `autopilot.toml`, and never out again. What is printed or recorded is `shown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from autopilot.kernel.errors import ContractError

SCHEMES = ("postgresql", "postgres")
_SECRETS = frozenset({"password", "sslpassword"})


@dataclass(frozen=True, slots=True)
class Address:
    """One database. `url` may hold a password; `shown` never does."""

    url: str

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def has_password(self) -> bool:
        """Whether the URL itself holds a password."""
        parts = urlsplit(self.url)
        return parts.password is not None or any(name.lower() in _SECRETS for name, _ in parse_qsl(parts.query))

    @property
    def shown(self) -> str:
        """The URL without passwords."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.netloc.rpartition("@")[0].partition(":")[0]
        query = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in _SECRETS]
        netloc = f"{user}@{host}" if user else host
        # Written out: `urlunsplit` drops the slashes of an empty host, which libpq needs.
        rest = urlunsplit(("", "", parts.path, urlencode(query, safe="/"), ""))
        return f"{parts.scheme}://{netloc}{rest}"


def is_address(store: str) -> bool:
    """Whether `store` names a database, by its scheme alone."""
    return store.partition("://")[0].lower() in SCHEMES and "://" in store


def parse_address(store: str, *, where: str = "store") -> Address:
    """The database that `store` names; ContractError `bad_config` for another scheme or what is no URL.

    The text is not repeated in the error: it may hold a password.
    """
    remedy = "write postgresql://user@host/database, or postgresql:///?service=NAME"
    try:
        parts = urlsplit(store)
        _ = parts.port
    except ValueError:
        raise ContractError("bad_config", where=where, detail="not a URL", remedy=remedy) from None
    if not is_address(store) or parts.fragment:
        raise ContractError("bad_config", where=where, detail="not a postgresql:// URL", remedy=remedy)
    return Address(store)
