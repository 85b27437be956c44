"""What `upscaler doctor` looks at."""
