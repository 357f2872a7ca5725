"""What a vision-language model is shown and asked."""
