"""Whether a target can take a request, before it is asked, and what has to change so that it can.

What the gate promises: a target that would surely refuse is not asked; what has to be clamped or dropped
so that it will not refuse is named; and what nobody knows is no obstacle, unless the route is strict.

`features` says what a request needs, `check` compares that with the target's card, `edit` changes bytes,
`denials` learns from a target's own words, `tokens` guesses how long a prompt is for whom.
"""
