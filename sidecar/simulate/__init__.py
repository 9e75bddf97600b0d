"""`llm-sidecar simulate`: a day of 50,000 calls in virtual time, under several policies.

The world (`world.py`) draws the day's bad luck from a seed: it is the same for every policy. Five
policies are other people's, as a table that was published describes them (`published.py`); ours are
no models of ours but the real stack, built by `sidecar.stack` from configuration (`ours.py`).
"""
