"""Flow-matching schedules and samplers: from noise to latents, one network call a step."""

from openlyra.sampling.base import Sampler, SamplerState, sample
from openlyra.sampling.few_step import FewStep
from openlyra.sampling.noise import few_step_noise, initial_noise
from openlyra.sampling.unipc import UniPC

__all__ = ["FewStep", "Sampler", "SamplerState", "UniPC", "few_step_noise", "initial_noise", "sample"]
