"""Idefics3 and SmolVLM on ONNX Runtime: pictures, prompts and decoding without torch.

Laurençon et al., "Building and better understanding vision-language models" (arXiv 2408.12637);
Marafioti et al., "SmolVLM" (arXiv 2504.05299).
"""

from mmsearch_app.rerankers.idefics3.files import (
    FOLDER,
    PARTS,
    find_data_gap,
    list_files,
    name_files,
)
from mmsearch_app.rerankers.idefics3.model import Idefics3Model, load_idefics3
from mmsearch_app.rerankers.idefics3.network import Provider, RuntimeOptions
