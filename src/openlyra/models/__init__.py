"""Networks and their weights: the video transformer and its companions, the depth network."""
