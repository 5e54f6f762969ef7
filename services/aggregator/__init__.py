"""The aggregator: opens rounds, checks and merges updates, has candidates judged, publishes releases."""
