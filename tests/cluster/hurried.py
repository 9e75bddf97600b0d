"""`llm-sidecar injector` with the lives of its certificates in seconds, and looks four times a second."""

from __future__ import annotations

import sys

from sidecar.injector import certificates, command

# as in life, what is left of a leaf when it is due is more than a new CA is only trusted
lives = {"CA_LIFE": 18.0, "LEAF_LIFE": 9.0, "OVERLAP": 1.0}
for name, value in lives.items():
    assert hasattr(certificates, name)
    setattr(certificates, name, value)
command.CERTIFICATES_EVERY = 0.25  # type: ignore[misc]  # a constant for everybody else
command.AGAIN = 0.25  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:]))
