"""The tokens of both streams over ranks: every rank runs all blocks for its share of them."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..model.transformer import LTXModel, Modality
from ..model.transformer.attention_functions import attend
from ..model.transformer.block import AUDIO, VIDEO
from ..model.transformer.modality import TokenGroups
from ..model.transformer.tensor_cache import TensorCache
from .exchange import HeadExchange, KeyGather, Team, TokenCounts, attend_from_share, gather, own_share
from .shares import share_of
from .texts import read_texts

_KEPT = 20  # shares of positions, groups, masks and texts of both streams, for a few sets of them


class TokenSplit:
    """Cuts the streams of a pass, and joins what the model makes of them.

    The text is on every rank as a whole; of several shots, the texts that its tokens read. A mask of self-attention is
    whole too: by then a rank has all tokens of its heads.
    """

    def __init__(self, team: Team) -> None:
        self.team = team
        self.counts = TokenCounts()
        self._kept = TensorCache(_KEPT)

    def take(self, video: Modality | None, audio: Modality | None) -> tuple[Modality | None, Modality | None]:
        """This rank's share of both streams."""
        self.counts.video = 0 if video is None else video.latent.shape[1]
        self.counts.audio = 0 if audio is None else audio.latent.shape[1]
        return video and self._share(video), audio and self._share(audio)

    def join(self, velocity: Tensor, tokens: int) -> Tensor:
        """All ``(B, tokens, C)`` of a stream on every rank, of shares ``(B, T_own, C)``."""
        return gather(velocity, tokens, self.team)

    def clear(self) -> None:
        """Drops what is kept between passes."""
        self._kept.clear()

    def _share(self, modality: Modality) -> Modality:
        tokens, team = modality.latent.shape[1], self.team

        def kept(tensor: Tensor | None, dim: int) -> Tensor | None:
            # The same object in every step, as the whole one is: the model keeps tables by it.
            return None if tensor is None else self._kept.get(tensor, dim, lambda: own_share(tensor, dim, team))

        text_mask, timesteps = modality.context_mask, modality.timesteps
        per_query = text_mask is not None and text_mask.ndim > 2 and text_mask.shape[-2] == tokens > 1
        groups = self._groups(modality.timestep_groups)
        timesteps = timesteps if timesteps.shape[1] == 1 else own_share(timesteps, 1, team)
        if not timesteps.shape[1]:  # fewer tokens than ranks: no token is left here to have a level
            groups, timesteps = TokenGroups(None, None), modality.timesteps[:, :1]
        context, reading = modality.context, modality.text_reading
        if reading is not None:
            own = share_of(tokens, team.size, team.rank)
            context, reading = read_texts(context, reading.part(own.start, own.stop), self._kept)
        return replace(
            modality,
            latent=own_share(modality.latent, 1, team),
            timesteps=timesteps,
            positions=kept(modality.positions, 2),
            context=context,
            context_mask=kept(text_mask, text_mask.ndim - 2) if per_query else text_mask,
            keyframes_mask=kept(modality.keyframes_mask, 1),
            timestep_groups=groups,
            text_reading=reading,
        )

    def _groups(self, groups: TokenGroups | None) -> TokenGroups | None:
        """Which tokens of the share have equal levels; found again, since a group's first token may lie elsewhere."""
        if groups is None or groups.index is None:
            return groups
        index = groups.index
        return self._kept.get(index, "groups", lambda: TokenGroups.of(own_share(index, 1, self.team)))


def split_tokens(model: LTXModel, team: Team) -> None:
    """Makes ``model`` compute with the tokens over the ranks of ``team``; a team of one makes it whole again.

    Every rank must then call it with the same input; every rank gets the whole result.
    """
    current = model.token_split
    if team is (None if current is None else current.team) or (current is None and team.size == 1):
        return
    split = None if team.size == 1 else TokenSplit(team)
    model.token_split = split
    for block in model.transformer_blocks:
        for prefix, stream in ((VIDEO, "video"), (AUDIO, "audio")):
            attention = getattr(block, f"{prefix}attn1", None)
            if attention is not None:
                attention.attend = attend if split is None else HeadExchange(team, split.counts, stream, stream)
                getattr(block, f"{prefix}attn2").attend = attend if split is None else attend_from_share
        if hasattr(block, "audio_to_video_attn"):
            reads_sound, reads_picture = block.audio_to_video_attn, block.video_to_audio_attn
            reads_sound.attend = attend if split is None else KeyGather(team, split.counts, "audio")
            reads_picture.attend = attend if split is None else HeadExchange(team, split.counts, "audio", "video")
