"""The neutral form between dialects: a conversation read from one, written in another, and what was lost."""
