"""Phi-3 Vision (Microsoft, 4.2 B, MIT) in this process, assembled from parts of transformers.

`processor.Phi3VisionProcessor` makes a prompt and pictures into tensors, `model.Phi3Vision`
answers; both are used as a model and a processor of transformers are. The repository's own code
is never run. Importing `model` imports torch; importing `processor` does not.
"""

from mmsearch_app.rerankers.phi3_vision.processor import Phi3VisionProcessor

__all__ = ["Phi3VisionProcessor"]
