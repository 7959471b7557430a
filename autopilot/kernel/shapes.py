"""Exact shapes of stored objects: just these keys, just these types.

For what autopilot itself has written and reads back (log records, journal entries), where a key too many or a bool
for a number means that someone else wrote it. What people write (configuration, evidence) is checked elsewhere, with
words that help them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Shape = dict[str, tuple[type, ...]]
"""The keys of an object and the types each may have, by exact match: a bool is no integer."""

INTEGER: tuple[type, ...] = (int,)
TEXT: tuple[type, ...] = (str,)
OBJECT: tuple[type, ...] = (dict,)
LIST: tuple[type, ...] = (list,)
NOTHING: tuple[type, ...] = (type(None),)


def exact_fields(stored: object, shape: Shape) -> dict[str, Any]:
    """A copy of `stored` if it has exactly the keys and types of `shape`, ValueError if not. No integer is negative."""
    if not isinstance(stored, Mapping) or stored.keys() != shape.keys():
        raise ValueError(f"{stored!r:.200} does not have the keys {', '.join(shape)}")
    for name, types in shape.items():
        value = stored[name]
        if type(value) not in types or (type(value) is int and value < 0):
            raise ValueError(f"{name} cannot be {value!r:.200}")
    return dict(stored)
