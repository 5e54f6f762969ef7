"""How fast the real edge node is, beside a naive loop and River; `python -m benchmarks.speed`."""
