"""The edge node: consumes records, scores them online, learns in the background, takes part in rounds."""
