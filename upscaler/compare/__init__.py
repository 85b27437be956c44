"""`upscaler compare`: methods side by side on the same frames, in numbers and in pictures."""
