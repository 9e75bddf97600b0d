"""Interception for applications that take no base URL. Read `capture` first, then `certificates`."""
