"""The page: a thin layer of controls and views over imagen_core. No diffusion arithmetic lives here."""
