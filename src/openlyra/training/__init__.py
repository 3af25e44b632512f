"""Training: data sets, losses, and the loops that lower them."""
