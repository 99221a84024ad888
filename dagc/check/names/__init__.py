"""Rules over the options of axes and scopes. One rule a file."""
