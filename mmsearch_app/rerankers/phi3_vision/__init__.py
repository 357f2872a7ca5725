"""Phi-3 Vision (Microsoft, 4.2 B, MIT) in this process, assembled from parts of transformers.

`processor.Phi3VisionProcessor` turns a prompt and images into tensors, `model.Phi3Vision`
answers; they have the interfaces of a processor and a model of transformers. The code in the
released repository is never run. Importing `model` imports torch; `processor` does not.
"""

from mmsearch_app.rerankers.phi3_vision.processor import Phi3VisionProcessor
