from hypothesis import HealthCheck, settings

# No property fails because the machine was busy. The rest stays what Hypothesis chose for this place: in CI
# the same examples each time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
