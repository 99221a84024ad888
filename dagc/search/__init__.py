"""The search for strategies: what there is to try, what need not be tried, and what remains when all is decided."""
