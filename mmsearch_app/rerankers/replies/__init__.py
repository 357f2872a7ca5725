"""What a vision-language model may reply, and how a reply is read."""
