from hypothesis import settings

# no property fails because the machine was busy; on top of what Hypothesis chose for this place (in CI: no chance)
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
