"""Compiles JSON schemas that clients send. The library is loaded with the first one.

The schema comes from a request, so nothing in it may reach out: remote references are refused
(jsonschema-rs would fetch them by default), and one that does not compile judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import msgspec


def compile_schema(schema: bytes) -> Callable[[object], bool] | None:
    """A validator, or None if this is no schema we can use."""
    import jsonschema_rs

    def refuse(uri: str) -> NoReturn:
        raise ValueError(f"remote reference refused: {uri[:64]}")

    try:
        validator = jsonschema_rs.validator_for(msgspec.json.decode(schema), retriever=refuse)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    is_valid: Callable[[object], bool] = validator.is_valid
    return is_valid
