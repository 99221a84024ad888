"""What else a deployment could be: one change at a time, priced again, and where one plan overtakes another."""
