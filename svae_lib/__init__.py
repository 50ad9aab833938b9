"""svae_lib: the library under the Split-VAE course."""
