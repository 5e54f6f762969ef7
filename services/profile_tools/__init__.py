"""`streamgauge profile`: propose a source profile for unknown records, and try one on records."""
