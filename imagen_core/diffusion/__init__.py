"""The mathematics of diffusion sampling: schedules, guidance, thresholding, augmentation, samplers."""
