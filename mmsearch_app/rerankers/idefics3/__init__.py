"""Idefics3 and SmolVLM on ONNX Runtime: pictures, prompts and decoding without torch.

Laurençon et al., "Building and better understanding vision-language models" (arXiv 2408.12637);
Marafioti et al., "SmolVLM" (arXiv 2504.05299).
"""
