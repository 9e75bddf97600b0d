"""`llm-sidecar doctor`: do the calls of the applications here go through the sidecar, and if not, why.

`clients` is the one table of facts about SDKs; the compatibility page is printed from it and the judging
reads it. `survey`, `processes` and `probe` look at the world and return values; `judge` turns values into
findings and touches nothing. What looks never keeps the value of a variable that holds a credential, and
what is shown of an address is its host and path.
"""
