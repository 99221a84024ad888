"""When each node runs on each rank, and the path that decides the end."""
