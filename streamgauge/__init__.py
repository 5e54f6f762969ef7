"""Streamgauge's pure library: arrays and tensors in, arrays and tensors out.

No Kafka, HTTP, database, clock or environment; the services bring those. Nothing here imports torch at
module level, so that aggregator and API start without it.
"""
