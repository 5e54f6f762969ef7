"""The API: alerts, models, releases, rounds and nodes over HTTP."""
