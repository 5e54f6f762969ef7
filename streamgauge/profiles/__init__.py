"""Source profiles (TOML): what a stream's records mean, and the decoder built from them."""
