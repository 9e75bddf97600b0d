"""Plain values to frozen dataclasses, by their type hints: the dataclasses are the schema.

Every value that cannot be taken is told with its path and what was expected; in its place stands
the value it would have changed, so that one reading finds everything that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from sidecar.config.problems import Path, Problems, nearest, quote
from sidecar.settings import Bound

BAD: Final[Any] = object()  # told already; keep what was there

_SECONDS: Final = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_BYTES: Final = {
    "": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,40})?) ?(ms|s|m|h)")
_SIZE: Final = re.compile(r"([0-9]{1,18}) ?([kKMG]i?B|B|)")


def parse_duration(text: str) -> float | None:
    """Seconds of "250ms", "15s", "2m", "1.5h"; None where it is none."""
    found = _DURATION.fullmatch(text)
    return float(Decimal(found[1]) * _SECONDS[found[2]]) if found else None


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as exactly this."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("h", "m", "s"):
        if exact >= _SECONDS[unit] and exact % _SECONDS[unit] == 0:
            return f"{int(exact / _SECONDS[unit])}{unit}"
    if 0 < exact < 1 and (exact * 1000) % 1 == 0:
        return f"{int(exact * 1000)}ms"
    return f"{exact:f}s" if exact else "0s"


def parse_size(text: str) -> int | None:
    """Bytes of "32MiB", "64KiB", "1000"; None where it is none."""
    found = _SIZE.fullmatch(text)
    return int(found[1]) * _BYTES[found[2]] if found and found[2] in _BYTES else None


def format_size(size: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def format_value(hint: Any, value: Any) -> str:
    """A setting as a person would write it in the file."""
    bound = next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Bound)), Bound())
    if isinstance(value, bool):
        return str(value).lower()
    if bound.unit == "seconds":
        return format_duration(value)
    if bound.unit == "bytes":
        return format_size(value)
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe(kind: type, bound: Bound) -> str:
    """What a number or word field takes, as the messages and the reference page say it."""
    if bound.choices:
        return f"one of {', '.join(bound.choices)}"
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text"
    if bound.unit == "seconds":
        return (
            f"a duration such as 15s or 250ms, {format_duration(bound.low)} to {format_duration(bound.high)}"
        )
    if bound.unit == "bytes":
        return f"a size such as 32MiB, {format_size(int(bound.low))} to {format_size(int(bound.high))}"
    noun = "a whole number" if kind is int else "a number"
    if bound.high >= 1_000_000:  # a bound against slips, not worth a reader's time
        return f"{noun} >= {bound.low:g}"
    return f"{noun} from {bound.low:g} to {bound.high:g}"


_HINTS: Final[dict[type, Mapping[str, Any]]] = {}


def hints(cls: type) -> Mapping[str, Any]:
    """Worked out once: a file asks for them with every field that it sets."""
    if cls not in _HINTS:
        _HINTS[cls] = get_type_hints(cls, include_extras=True)
    return _HINTS[cls]


@dataclass(frozen=True, slots=True)
class Converter:
    """`custom` reads the types that are more than their fields; `fixed` fields cannot be set;
    `aliases` are other names of fields.
    """

    problems: Problems
    custom: Mapping[type, Callable[[Any, Path], Any]] = field(default_factory=dict)
    fixed: frozenset[tuple[type, str]] = frozenset()
    aliases: Mapping[tuple[type, str], str] = field(default_factory=dict)

    def value(self, hint: Any, raw: Any, path: Path, start: Any = None) -> Any:
        """The value, or BAD. `start`: what a mapping for a dataclass changes."""
        origin, args = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._scalar(args[0], args[1], raw, path)
        if origin in {Union, UnionType}:
            inner = next(arg for arg in args if arg is not NoneType)
            return None if raw is None else self.value(inner, raw, path, start)
        if hint is Any:
            return raw
        if origin is tuple:
            return self._items(args[0], raw, path)
        if origin is Mapping:
            return self._entries(args[0], args[1], raw, path)
        if hint in self.custom:
            return self.custom[hint](raw, path)
        return self._plain(hint, raw, path, start)

    def _plain(self, kind: type[Any], raw: Any, path: Path, start: Any) -> Any:
        if is_dataclass(kind):
            return self.record(kind, raw, path, None if start is MISSING else start)
        if issubclass(kind, Enum):
            word = self._scalar(str, Bound(choices=tuple(item.value for item in kind)), raw, path)
            return BAD if word is BAD else kind(word)
        return self._scalar(kind, Bound(), raw, path)

    def record(self, cls: type[Any], raw: Any, path: Path, start: Any = None) -> Any:
        """A dataclass from a mapping; BAD where there is not even enough to stand in for it."""
        if raw is None:
            raw = {}
        if not isinstance(raw, dict):
            self.problems.add(path, f"expected a mapping, got {quote(raw)}")
            return BAD if start is None else start
        known = {item.name: item for item in fields(cls) if (cls, item.name) not in self.fixed}
        found = self._found(cls, known, raw, path, start)
        if start is not None:
            return replace(start, **found)
        missing = {name for name, item in known.items() if _before(item, None) is MISSING} - found.keys()
        for name in sorted(missing):
            self.problems.add((*path, name), "is missing")
        return BAD if missing or MISSING in found.values() else cls(**found)

    def _found(
        self, cls: type[Any], known: Mapping[str, Field[Any]], raw: dict[str, Any], path: Path, start: Any
    ) -> dict[str, Any]:
        names = {alias: name for (owner, alias), name in self.aliases.items() if owner is cls}
        found: dict[str, Any] = {}
        for key, item in raw.items():
            name = names.get(key, key)
            if name not in known:
                self.problems.add((*path, key), f"unknown key{nearest(key, [*known, *names])}")
            elif name in found:
                self.problems.add((*path, key), f'is another name of "{name}", which stands here too')
            else:
                before = _before(known[name], start)
                taken = self.value(hints(cls)[name], item, (*path, key), before)
                found[name] = before if taken is BAD else taken
        return found

    def _items(self, hint: Any, raw: Any, path: Path) -> Any:
        if raw is None:
            return ()
        if not isinstance(raw, list):
            self.problems.add(path, f"expected a list, got {quote(raw)}")
            return BAD
        items: list[Any] = []
        for index, item in enumerate(raw):
            taken = self.value(hint, item, (*path, index))
            if isinstance(taken, tuple):  # one of the file's that stands for several
                items += taken
            elif taken is not BAD:
                items.append(taken)
        return tuple(items)

    def _entries(self, key_hint: Any, hint: Any, raw: Any, path: Path) -> Any:
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self.problems.add(path, f"expected a mapping, got {quote(raw)}")
            return BAD
        found = {}
        known = [item.value for item in key_hint] if issubclass(key_hint, Enum) else []
        for key, item in raw.items():
            if known and key not in known:
                self.problems.add((*path, key), f"unknown key{nearest(key, known)}")
                continue
            taken = self.value(hint, item, (*path, key))
            if taken is not BAD:
                found[key_hint(key)] = taken
        return found

    def _scalar(self, kind: type, bound: Bound, raw: Any, path: Path) -> Any:
        taken = _take(kind, bound, raw)
        if taken is not BAD and (kind in {str, bool} or bound.low <= taken <= bound.high):
            return taken
        hint = nearest(raw, bound.choices) if bound.choices and isinstance(raw, str) else ""
        message = f"expected {describe(kind, bound)}, got {quote(raw)}"
        if kind is str and not bound.choices and isinstance(raw, bool | int | float):
            message += "; put it in quotes"
        self.problems.add(path, message + (hint if hint.startswith(", did") else ""))
        return BAD


def _take(kind: type, bound: Bound, raw: Any) -> Any:
    if kind is str:
        return raw if isinstance(raw, str) and (not bound.choices or raw in bound.choices) else BAD
    if kind is bool:
        return raw if isinstance(raw, bool) else BAD
    if isinstance(raw, str) and bound.unit:
        parsed = parse_duration(raw) if bound.unit == "seconds" else parse_size(raw)
        return BAD if parsed is None else parsed
    if isinstance(raw, bool) or not isinstance(raw, int if kind is int else (int, float)):
        return BAD
    return kind(raw)


def _before(item: Field[Any], start: Any) -> Any:
    """What a field is unless it is given; MISSING where it has to be."""
    if start is not None:
        return getattr(start, item.name)
    return item.default_factory() if item.default_factory is not MISSING else item.default
