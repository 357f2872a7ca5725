"""Idefics3 and SmolVLM on ONNX Runtime, compared with transformers."""
