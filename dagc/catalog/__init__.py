"""What models and machines are: shapes, figures and presets, each with its source."""
