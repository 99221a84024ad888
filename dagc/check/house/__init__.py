"""House rules: constraints that circulate and are no laws. Off by default, one rule a file, warnings all."""
