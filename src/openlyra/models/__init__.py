"""Networks: the Lyra 2.0 video transformer and its parts, the auto-encoder, the text and image encoders, weights."""
