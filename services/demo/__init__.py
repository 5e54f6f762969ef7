"""The one-command demo: the whole chain on this machine, and what it shows of it."""
