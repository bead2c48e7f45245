"""How many bytes a rank sends in one pass, counted from the sizes of the model: the figures of docs/scaling.md."""

from __future__ import annotations

from ..model.transformer.options import StreamOptions, TransformerOptions
from .shares import shares

WAYS = ("heads", "keys", "passes")


def sent_bytes(
    options: TransformerOptions, video_tokens: int, audio_tokens: int, *, ranks: int, itemsize: int, way: str
) -> int:
    """What the rank with the largest shares sends to all others, for one row of a pass over both streams.

    Args:
        options: of a model with both streams.
        video_tokens, audio_tokens: of the whole clip.
        ranks: how many share them.
        itemsize: bytes of a number.
        way: "heads" is what `exchange.py` does; "keys" would gather keys and values instead, as PyTorch's context
            parallel attention does; "passes" sends nothing but a finished row.
    """
    video, audio = _Share(options.video, video_tokens, ranks), _Share(options.audio, audio_tokens, ranks)
    result = video.finished + audio.finished
    if way == "passes":
        whole = video_tokens * options.video.out_channels + audio_tokens * options.audio.out_channels
        return itemsize * whole * (ranks - 1)
    width, heads = options.audio.dim, options.audio.heads  # of the attention between the streams
    reads_sound = 2 * audio.tokens * width * (ranks - 1)
    if way == "keys":
        own = [2 * one.tokens * stream.dim for one, stream in ((video, options.video), (audio, options.audio))]
        reads_picture = 2 * video.tokens * width
        return itemsize * (options.num_layers * ((sum(own) + reads_picture) * (ranks - 1) + reads_sound) + result)
    others = width * (heads - shares(heads, ranks)[0]) // heads
    reads_picture = (audio.tokens + 2 * video.tokens) * others + (audio_tokens - audio.tokens) * (width - others)
    return itemsize * (options.num_layers * (video.by_heads + audio.by_heads + reads_picture + reads_sound) + result)


class _Share:
    """The largest share of a stream, and the numbers that it sends."""

    def __init__(self, stream: StreamOptions, tokens: int, ranks: int) -> None:
        self.tokens = shares(tokens, ranks)[0]
        own = stream.head_dim * shares(stream.heads, ranks)[0]
        self.by_heads = 3 * self.tokens * (stream.dim - own) + (tokens - self.tokens) * own
        self.finished = self.tokens * stream.out_channels * (ranks - 1)


def operations(options: TransformerOptions, video_tokens: int, audio_tokens: int, text_tokens: int) -> int:
    """Multiplications and additions of one row's pass, of the linear layers and the attention of all blocks."""
    total, between = 0, options.audio.dim
    for stream, tokens, others in (
        (options.video, video_tokens, audio_tokens),
        (options.audio, audio_tokens, video_tokens),
    ):
        width = stream.dim
        linear = tokens * width * width * (4 + 2 + 8)  # self-attention, queries and output of the text's, feed-forward
        linear += text_tokens * 2 * stream.context_dim * width + 2 * tokens * width * between * 2
        attention = 2 * tokens * (tokens + text_tokens) * width + 2 * tokens * others * between
        total += 2 * (linear + attention)
    return options.num_layers * total
