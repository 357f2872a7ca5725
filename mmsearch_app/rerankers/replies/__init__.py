"""What replies must look like, and how they are read."""
