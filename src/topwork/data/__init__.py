"""From a place with images to a manifest and a split: sources, the pixel policy, the split."""
