"""Edge node."""
