"""A scripted fake vendor of LLM answers, on loopback: for drills, the demo, and our own tests."""

from sidecar.provider.answers import expected
from sidecar.provider.behaviour import CATALOGUE, Behaviour, do
from sidecar.provider.script import BadScript, Rule, Script, When, load, parse
from sidecar.provider.server import Exchange, Vendor, digest

__all__ = [
    "CATALOGUE",
    "BadScript",
    "Behaviour",
    "Exchange",
    "Rule",
    "Script",
    "Vendor",
    "When",
    "digest",
    "do",
    "expected",
    "load",
    "parse",
]
