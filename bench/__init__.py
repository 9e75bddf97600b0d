"""What the sidecar costs, against no proxy at all and against nginx, measured in one run.

What the figures mean. Subjects take turns in short slices, several rounds, and each figure is the
best of the rounds: a busy machine disturbs all of them alike, and what is compared is one run's
ratios, never one day's absolutes. "Added" is a subject's latency minus that of the load talking to
the vendor directly. Every answer is compared byte by byte; one that is wrong ends the run.

How it is laid out: the load and the vendor share one core, the subject has another one, so the
subject never competes with what measures it. Nothing here imports the sidecar, but bench/finish, a program of
its own: it is started as a user starts it.
"""
