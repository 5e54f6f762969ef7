"""I/O shared by the services: Kafka clients, envelopes, codecs, signing, lifecycle, metrics server, logging."""
