"""What a priced plan is worth: metrics, requirements and claims judged, and the summary as data and as text."""
