"""Server rules, one a file: how clients' deltas become one step. Drop a file in here to add one."""
