"""Recording rules, alerts and their runbooks as rows of data; `python -m alerts` renders them."""
