"""Rules that hold degrees against the model and the workload. One rule a file."""
