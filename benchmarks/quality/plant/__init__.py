"""Table `plant`: Figures 2 and 3 of the paper on federated contrastive learning, on the plant simulator."""
