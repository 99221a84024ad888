"""What else a deployment could be: one change at a time, priced anew, and where one plan overtakes another."""
