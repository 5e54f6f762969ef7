"""`streamgauge dead-letters`: look at the records that could not be used, and send them again."""
