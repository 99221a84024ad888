"""What each operator and each exchange costs, and what each rank has to hold."""
