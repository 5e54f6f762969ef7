"""From scores to thresholds: false-alarm events per day and entity, or F-beta where labels exist."""
