"""YAML text to plain values with the line of each, within bounds.

Read as YAML 1.2 reads it: only true and false are booleans (`off` and `no` are words), numbers have
no octal and no base 60, dates are text. Anchors work, up to a bound on what they expand to; tags and
merge keys do not. A key that stands twice in a mapping is a mistake.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from sidecar.config.problems import Path, Problems, looks_like_key

LARGEST: Final = 1024 * 1024  # bytes
DEEPEST: Final = 32
MOST: Final = 50_000  # values, anchors expanded

_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})?\.[0-9]{1,18}")
_WORDS: Final[dict[str, Any]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(
    _TAG + name
    for name in ("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge", "value")
)


class Unreadable(Exception):  # what it says, like BadBody
    """The text is no YAML that we read; nothing more can be said about it."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read(text: str, problems: Problems) -> Any:
    """The document as plain values; `problems` gets what is wrong in it, and the lines. Raises Unreadable."""
    if len(text.encode(errors="surrogatepass")) > LARGEST:
        raise Unreadable(f"the file is larger than {LARGEST // 1024} KiB")
    try:
        _measure(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        if "nesting depth" in (error.problem or ""):  # newer parsers have a bound of their own
            raise Unreadable(f"more than {DEEPEST} levels deep", line) from None
        raise Unreadable(f"this is not YAML: {_plain(error.problem)}", line) from None
    except (yaml.YAMLError, UnicodeError):
        raise Unreadable("this is not YAML: it holds characters that are not allowed") from None
    if root is None:
        return None
    tree = _Tree(problems)
    value = tree.value(root, ())
    problems.lines = tree.lines
    return value


def _plain(problem: str | None) -> str:
    text = problem or "it cannot be read"
    if "cannot start any token" in text:
        text += "; lines begin with spaces, not tabs, and a text that begins with @, % or ` stands in quotes"
    return "a part cannot be read" if looks_like_key(text) else text


def _measure(text: str) -> None:
    """Refuses what is too deep before anything recursive sees it."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise Unreadable(f"more than {DEEPEST} levels deep", _line(event))
        if number > 2 * MOST:
            raise Unreadable(f"more than {MOST} values")


def _line(item: yaml.Node | yaml.Event) -> int:
    return item.start_mark.line + 1 if item.start_mark else 0


class _Tree:
    def __init__(self, problems: Problems) -> None:
        self.lines: dict[Path, int] = {}
        self._problems = problems
        self._count = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        line = _line(node)
        if self._count > MOST:
            raise Unreadable(f"more than {MOST} values, anchors expanded", line)
        if len(path) > DEEPEST:
            raise Unreadable(f"more than {DEEPEST} levels deep, anchors expanded", line)
        self.lines.setdefault(path, line)
        if node.tag not in _TAGS:
            self._problems.add(path, "tags are not read")
            return None
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return _scalar(node)
            case _:  # there is no other kind of node
                raise TypeError(type(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problems.add(path, "keys have to be plain words")
                continue
            name: str = key.value
            place = (*path, name)
            self.lines[place] = _line(key)
            if name == "<<":
                self._problems.add(place, "merge keys are not read; what routes share goes under `defaults`")
            elif name in found:
                self._problems.add(place, f"stands twice here, first on line {self._first(node, name)}")
            else:
                found[name] = self.value(item, place)
        return found

    @staticmethod
    def _first(node: yaml.MappingNode, name: str) -> int:
        return next((_line(key) for key, _ in node.value if key.value == name), 0)


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style or node.tag == _TAG + "str":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def refuse_keys(value: Any, path: Path, problems: Problems) -> None:
    """Finds literals that look like keys, wherever they stand."""
    match value:
        case dict():
            for name, item in value.items():
                if looks_like_key(name):
                    problems.add((*path, name), _REFUSAL)
                refuse_keys(item, (*path, name), problems)
        case list():
            for index, item in enumerate(value):
                refuse_keys(item, (*path, index), problems)
        case str() if looks_like_key(value, prose=bool(_PROSE & set(path)) or value.startswith("/")):
            problems.add(path, _REFUSAL)
        case _:
            pass


_PROSE: Final = frozenset({"static", "system"})  # texts for people and for models
_REFUSAL: Final = (
    "looks like a key, and keys do not stand in this file; put it in a file or a variable and write "
    "`key: {file: PATH}` or `key: {env: NAME}`"
)
