"""What is taken out of contents before they may leave: credentials, and what names a person.

What it promises. Keys and tokens of the shapes we know, bearer tokens, private keys, passwords beside
their names, credentials in URLs, e-mail addresses, card numbers (by their check digit) and telephone
numbers are replaced by a word that says what stood there. So is what the operator's own patterns find,
and what the caller names exactly. Where in doubt it goes: a number that only looks like one is a small
loss. It cannot promise more: a secret that looks like prose, or is spelled out, is not seen.

Every pattern of ours takes time in proportion to the text, whatever the text: a client chooses it. The
operator's own patterns are the operator's affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sidecar.telemetry.words import LOOKS_LIKE_A_KEY

SHORTEST = 8  # characters of an exact value; a shorter one would be found in any text

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_SCHEME = re.compile(
    r"\b(basic|negotiate|digest)([\s:]+)(?=[A-Za-z0-9._~+/=-]*[0-9=/+_])[^\s\"',;]{6,}", re.IGNORECASE
)
_NAMED = re.compile(
    r"((?:passw(?:or)?d|passphrase|pwd|secret|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|account[-_ ]?key"
    r"|token|authorization|credentials?|cookie)"
    r"[\w-]{0,20}\\{0,3}[\"']?\s{0,5}[:=]>?\s{0,5}\\{0,3}[\"']?)(?!\[redacted)"
    r"(?:(?:bearer|basic|token|key|negotiate)\s+)?[^\s\"',;&{}\\]{4,}",
    re.IGNORECASE,
)
_SCHEMES = ("basic", "negotiate", "digest")
_NAMES = ("pass", "pwd", "secret", "key", "token", "authoriz", "credential", "cookie")
_URL = re.compile(r"(?<=://)[^\s/@:\"']{0,200}:[^\s/@\"']{1,200}(?=@)")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_RUN = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_NUMBER = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ().\-/]{0,2}\d){8,18}(?!\w)")


class Redactor:
    """`patterns` are regular expressions. Raises re.error where one is none."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._own = [re.compile(pattern) for pattern in patterns]

    def __call__(self, text: str, exact: Iterable[str] = ()) -> str:
        for value in exact:
            if len(value) >= SHORTEST:
                text = text.replace(value, "[redacted key]")
        for own in self._own:
            text = own.sub("[redacted]", text)
        # to look whether a word is there at all costs a hundredth of the patterns
        small = text.lower()
        if "private key" in small:
            text = _PEM.sub("[redacted private key]", text)
        if "://" in text:
            text = _URL.sub("[redacted credentials]", text)
        text = LOOKS_LIKE_A_KEY.sub("[redacted key]", text)
        if any(word in small for word in _SCHEMES):
            text = _SCHEME.sub(r"\1\2[redacted token]", text)
        if any(word in small for word in _NAMES):
            text = _NAMED.sub(r"\1[redacted]", text)
        if "@" in text:
            text = _EMAIL.sub("[redacted e-mail]", text)
        text = _RUN.sub(_opaque, text)
        return _NUMBER.sub(_number, text)


def _opaque(found: re.Match[str]) -> str:
    """A long run that is no word: all kinds of characters in it, or hexadecimal digits alone."""
    run = found[0]
    digits = any(char.isdigit() for char in run)
    mixed = digits and any(char.isupper() for char in run) and any(char.islower() for char in run)
    hexadecimal = digits and not run.strip("0123456789abcdefABCDEF-")
    return "[redacted key]" if mixed or hexadecimal else run


def _number(found: re.Match[str]) -> str:
    text = found[0]
    digits = [int(char) for char in text if char.isdigit()]
    if any(
        _luhn(digits[first : first + many])
        for many in range(13, 20)
        for first in range(len(digits) - many + 1)
    ):
        return "[redacted card]"
    if text[0] != "0" and text.count(".") == 1 and text.replace(".", "").isdigit():
        return text  # a fraction
    written = text[0] == "+" or text.startswith("00") or not text.isdigit()
    return "[redacted number]" if written or len(digits) in (10, 11) else text


def _luhn(digits: list[int]) -> bool:
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
