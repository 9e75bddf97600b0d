"""A pod that is being changed, and the changes as a JSON patch (RFC 6902).

Only additions, and values put in the place of values: nothing here can remove or move what was there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Path = tuple[str | int, ...]


class Malformed(ValueError):
    """What came is no pod; says what is wrong where."""


class Edit:
    """`pod` is a copy with all changes made so far."""

    def __init__(self, pod: Mapping[str, Any]) -> None:
        """Raises Malformed. The API server sends nothing else than pods: this is for strangers."""
        _check(pod)
        self.pod: dict[str, Any] = copy.deepcopy(dict(pod))
        self.patch: list[dict[str, Any]] = []

    def set(self, path: Path, value: Any) -> None:
        """A key of a mapping. Mappings above it that are missing are made."""
        at: Any = self.pod
        for depth, step in enumerate(path[:-1]):
            below = at.get(step) if isinstance(at, dict) else at[step]
            if below is None:
                rest: Any = value
                for name in reversed(path[depth + 1 :]):
                    rest = {name: rest}
                path, value = path[: depth + 1], rest
                break
            at = below
        at[path[-1]] = copy.deepcopy(value)
        self._note("add", path, value)

    def replace(self, path: Path, number: int, value: Any) -> None:
        """An entry of a list."""
        self._at(path)[number] = copy.deepcopy(value)
        self._note("replace", (*path, number), value)

    def append(self, path: Path, values: list[Any]) -> None:
        """To a list, which is made if it is missing."""
        if not values:
            return
        *above, name = path
        owner = self._at(tuple(above))
        if not owner.get(name):
            self.set(path, values)
            return
        for value in values:
            owner[name].append(copy.deepcopy(value))
            self._note("add", (*path, "-"), value)

    def prepend(self, path: Path, value: Any) -> None:
        *above, name = path
        owner = self._at(tuple(above))
        if not owner.get(name):
            self.set(path, [value])
            return
        owner[name].insert(0, copy.deepcopy(value))
        self._note("add", (*path, 0), value)

    def _at(self, path: Path) -> Any:
        at: Any = self.pod
        for step in path:
            at = at[step]
        return at

    def _note(self, op: str, path: Path, value: Any) -> None:
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
        self.patch.append({"op": op, "path": pointer, "value": copy.deepcopy(value)})


def containers(pod: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return pod["spec"].get(kind) or []


def _check(pod: Any) -> None:
    _is(pod, dict, "the object")
    metadata = pod.get("metadata")
    if metadata is not None:
        _is(metadata, dict, "metadata")
        for key in ("labels", "annotations"):
            for name, value in _maybe(metadata, key, dict, f"metadata.{key}").items():
                _is(name, str, f"a key of metadata.{key}")
                _is(value, str, f"metadata.{key}.{name}")
        for owner in _maybe(metadata, "ownerReferences", list, "metadata.ownerReferences"):
            _is(owner, dict, "an entry of metadata.ownerReferences")
    spec = pod.get("spec")
    _is(spec, dict, "spec")
    for kind in ("initContainers", "containers"):
        for number, one in enumerate(_maybe(spec, kind, list, f"spec.{kind}")):
            _check_container(one, f"spec.{kind}[{number}]")
    for volume in _maybe(spec, "volumes", list, "spec.volumes"):
        _is(volume, dict, "an entry of spec.volumes")
    for key in ("os", "nodeSelector"):
        _maybe(spec, key, dict, f"spec.{key}")
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise Malformed("spec.terminationGracePeriodSeconds: expected a whole number")


def _check_container(one: Any, where: str) -> None:
    _is(one, dict, where)
    _is(one.get("name"), str, f"{where}.name")
    for key in ("env", "ports", "volumeMounts"):
        for number, row in enumerate(_maybe(one, key, list, f"{where}.{key}")):
            _is(row, dict, f"{where}.{key}[{number}]")
    for number, row in enumerate(one.get("env") or []):
        _is(row.get("name"), str, f"{where}.env[{number}].name")
        _maybe(row, "value", str, f"{where}.env[{number}].value")
        _maybe(row, "valueFrom", dict, f"{where}.env[{number}].valueFrom")


def _maybe(owner: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = owner.get(key)
    if value is None:
        return kind()
    _is(value, kind, where)
    return value


def _is(value: Any, kind: type, where: str) -> None:
    if not isinstance(value, kind):
        word = {"dict": "a mapping", "list": "a list", "str": "a text"}[kind.__name__]
        raise Malformed(f"{where[:100]}: expected {word}")
