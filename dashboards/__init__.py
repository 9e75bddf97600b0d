"""The three boards, as code: `python -m dashboards` writes them, `--check` compares them."""
