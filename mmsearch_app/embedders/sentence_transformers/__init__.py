"""Models of the library sentence-transformers: CLIP, SigLIP 2, Qwen3-VL-Embedding, …"""

from mmsearch_app.embedders.sentence_transformers.embedder import SentenceTransformersEmbedder
