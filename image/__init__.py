"""What the container image is made with; nothing of it is in the image."""
