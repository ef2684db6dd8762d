"""Networks as torch modules; each file holds one network and its frozen configuration."""
