"""DeepFloyd IF, the open Imagen, from checkpoints in diffusers' layout, behind the engine's own sampler."""
