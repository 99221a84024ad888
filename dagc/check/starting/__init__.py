"""Rules over what the named engine starts: it does, otherwise than priced, or at a cost that no price has."""
