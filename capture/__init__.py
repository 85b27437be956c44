"""Sources of frames: video files and image folders. The screen follows."""
