"""What several suites share: streams, bundles, and ways to run services in them."""
