"""What is needed to run or reach any model."""

from mmsearch_app.inference.admission import Admission, Crowded
from mmsearch_app.inference.circuit import Circuit
from mmsearch_app.inference.content import Content, ModelFailed
from mmsearch_app.inference.deadline import last_moment, require_time, turn, until
from mmsearch_app.inference.endpoint import Endpoint, ServerError
from mmsearch_app.inference.fields import REFUSING, post_without_refused
from mmsearch_app.inference.forking import renew_after_fork
from mmsearch_app.inference.greenlets import threads_replaced_by, threads_replaced_late
from mmsearch_app.inference.onnx_sessions import count_cores, load_onnxruntime, never_free
from mmsearch_app.inference.options import (
    Precision,
    choose_device,
    choose_dtype,
    needing,
    require_at_least,
    require_one_of,
    require_origin,
    require_share,
)
from mmsearch_app.inference.pixels import (
    crop_square,
    floor_half,
    normalise_pixels,
    round_half,
    squash,
    trim,
)
from mmsearch_app.inference.proxies import is_loopback
from mmsearch_app.inference.usage import Usage, measure_usage, return_memory
from mmsearch_app.inference.weights import (
    InvalidWeights,
    MissingWeights,
    Release,
    check_layout,
    digest_files,
    fetch,
    find_file,
    find_folder,
    find_gap,
    read_checkpoint,
    shapes_of,
    tidy_state,
)
from mmsearch_app.inference.wishes import LANGUAGES, Wording, take_apart
from mmsearch_app.inference.words import (
    TOKENIZER_FILES,
    Tokenizer,
    WordTokenizer,
    defuse,
    find_marks,
    load_tokenizer,
    match_marks,
    tokenizer_files,
    tokenizer_release,
)
