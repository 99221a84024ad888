"""Commands of engines as files: scripts for shells, Docker and Slurm, manifests for Kubernetes and Dynamo."""
