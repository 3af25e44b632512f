"""Numbers every renderer backend follows, so that all of them draw the same image."""

NEAR = 0.01
"""Gaussians whose centre is not farther than this (scene units, z-depth) are left out."""
BLUR = 0.3
"""Added to the diagonal of every projected covariance, in squared pixels: no splat is thinner than a pixel."""
ALPHA_MAX = 0.999
"""No splat hides what is behind it completely."""
ALPHA_MIN = 1 / 255
"""Fainter touches are skipped."""
TRANSMITTANCE_MIN = 1e-4
"""A pixel is finished before the splat that would leave no more than this."""
TANGENT_MARGIN = 0.15
"""The projection is linearised at the centre of the Gaussian, its x/z and y/z clamped to this part of the image size
beyond the image's edges; otherwise Gaussians far outside would blow up."""
