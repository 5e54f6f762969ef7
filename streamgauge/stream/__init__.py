"""What happens to scores in time: alert grouping, watermark, imputation, quarantine, partition contexts."""
