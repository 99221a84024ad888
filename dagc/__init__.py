"""dagc compiles a strategy for deploying a mixture-of-experts model into a checked, priced graph."""
