"""From a priced and scheduled graph to files: pictures, data, traces; and their writing."""
