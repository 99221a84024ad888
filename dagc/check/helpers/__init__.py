"""What several rules share: offers of other values and trees, labels, blocks of weights, groups against nodes."""
