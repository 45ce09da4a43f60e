"""The networks: the Efficient U-Net, the noisy classifier, the frozen text encoders."""
