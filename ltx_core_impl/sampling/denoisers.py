"""Denoisers: one step's prediction of the clean latents, with or without guidance (spec 06 §10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor

from ..components.multimodal_guider import MultiModalGuider, MultiModalGuiderFactory, calculate_per_sample
from ..guidance.perturbations import Perturbation, PerturbationConfig, PerturbationType
from ..types import LatentState
from .passes import GuidancePass, PassRunner, StreamInput, Transformer
from .timed_text import Text

Guider = MultiModalGuider | MultiModalGuiderFactory

_NEUTRAL = MultiModalGuider()
_ISOLATED = PerturbationConfig(
    (Perturbation(PerturbationType.SKIP_A2V_CROSS_ATTN), Perturbation(PerturbationType.SKIP_V2A_CROSS_ATTN))
)


class Prediction(NamedTuple):
    """Predicted clean tokens ``(B, N, D)`` of one modality, guided and for the negative prompt alone."""

    denoised: Tensor
    uncond: Tensor | None = None


Predictions = tuple[Prediction | None, Prediction | None]


class Denoiser(Protocol):
    """Predicts the clean video and audio tokens of one step; None for an absent modality."""

    def __call__(
        self,
        transformer: Transformer,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Tensor,
        step_index: int,
    ) -> Predictions: ...


@dataclass(eq=False)
class SimpleDenoiser:
    """One pass with the positive contexts, for distilled models.

    Attributes:
        video_context, audio_context: text contexts ``(B or 1, S, D)``, or a ``TimedText`` of several shots; None for an
            absent modality.
        max_batch_size: largest number of rows in one model call; None puts all samples in one.
    """

    video_context: Text | None
    audio_context: Text | None
    max_batch_size: int | None = None
    _runner: PassRunner = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._runner = PassRunner(self.max_batch_size)

    def __call__(
        self,
        transformer: Transformer,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Tensor,
        step_index: int,
    ) -> Predictions:
        """Raises ValueError when a present modality has no context."""
        _require_contexts(self.video_context, self.audio_context, video_state, audio_state)
        sigma = sigmas[step_index].item()
        results = self._runner.run(
            transformer,
            passes=[GuidancePass("cond", self.video_context, self.audio_context)],
            video=None if video_state is None else StreamInput(video_state, sigma),
            audio=None if audio_state is None else StreamInput(audio_state, sigma),
        )
        video, audio = results["cond"]
        return None if video is None else Prediction(video), None if audio is None else Prediction(audio)


@dataclass(eq=False)
class GuidedDenoiser:
    """Up to four passes in the order cond, uncond, ptb, mod, combined by a guider for each modality.

    Guiders may be constant or depend on sigma. A pass runs when a present modality that is not skipped needs it; the
    other modality ignores the result. One object serves one run: it remembers the last predictions for skipped steps.

    Attributes:
        video_context, audio_context: positive text contexts ``(B or 1, S, D)``, or a ``TimedText`` of several shots;
            None for an absent modality.
        video_guider, audio_guider: None is neutral.
        max_batch_size: largest number of rows (passes x samples) in one model call; None puts all in one, 1 runs one
            after another with the least memory.
        force_uncond: run the negative-prompt pass even at scale 1, as CFG++ solvers need it.
        perturbation: what the ptb pass skips in place of self-attention in the guiders' STG blocks.
    """

    video_context: Text | None
    audio_context: Text | None
    video_guider: Guider | None = None
    audio_guider: Guider | None = None
    max_batch_size: int | None = None
    force_uncond: bool = False
    perturbation: PerturbationConfig | None = None
    _runner: PassRunner = field(init=False, repr=False)
    _previous: Predictions = field(default=(None, None), init=False, repr=False)

    def __post_init__(self) -> None:
        self._runner = PassRunner(self.max_batch_size)
        for name, guider in (("video", self.video_guider), ("audio", self.audio_guider)):
            if guider is not None and guider.needs_uncond and guider.negative_context is None:
                raise ValueError(
                    f"The {name} guider has a CFG scale other than 1 and no negative context: give it one, "
                    "or set the scale to 1."
                )
        _require_equal_lengths("video", self.video_context, self.video_guider)
        _require_equal_lengths("audio", self.audio_context, self.audio_guider)

    def __call__(
        self,
        transformer: Transformer,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Tensor,
        step_index: int,
    ) -> Predictions:
        """Raises ValueError when a present modality has no context."""
        _require_contexts(self.video_context, self.audio_context, video_state, audio_state)
        sigma = sigmas[step_index].item()
        guiders = tuple((guider or _NEUTRAL).at_sigma(sigma) for guider in (self.video_guider, self.audio_guider))
        states = (video_state, audio_state)
        active = tuple(
            state is not None and not guider.should_skip_step(step_index)
            for state, guider in zip(states, guiders, strict=True)
        )
        if not any(active):
            return self._previous
        streams = tuple(
            None if state is None else StreamInput(state, sigma, enabled)
            for state, enabled in zip(states, active, strict=True)
        )
        passes = self._passes(guiders, active, joint=all(state is not None for state in states))
        results = self._runner.run(transformer, passes=passes, video=streams[0], audio=streams[1])
        self._previous = tuple(
            _combine(guiders[stream], results, stream) if active[stream] else self._previous[stream]
            for stream in (0, 1)
        )
        return self._previous

    def _passes(
        self, guiders: tuple[MultiModalGuider, ...], active: tuple[bool, ...], joint: bool
    ) -> list[GuidancePass]:
        """The passes of a step; ``active`` says which modalities use results, ``joint`` whether both are present."""
        used = [guider for guider, enabled in zip(guiders, active, strict=True) if enabled]
        positive = (self.video_context, self.audio_context)
        passes = [GuidancePass("cond", *positive)]
        if self.force_uncond or any(guider.needs_uncond for guider in used):
            negatives = (
                context if guider.negative_context is None else guider.negative_context
                for context, guider in zip(positive, guiders, strict=True)
            )
            passes.append(GuidancePass("uncond", *negatives))
        if any(guider.needs_perturbed for guider in used):
            skips = tuple(
                Perturbation(kind, blocks=guider.params.stg_blocks)
                for kind, guider in zip(
                    (PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN), guiders, strict=True
                )
                if guider.needs_perturbed
            )
            perturbation = self.perturbation or PerturbationConfig(skips)
            passes.append(GuidancePass("ptb", *positive, perturbation=perturbation, forks_from="cond"))
        # Without a second modality there is nothing to isolate: the pass would repeat the conditional one.
        if joint and any(guider.needs_isolated for guider in used):
            passes.append(GuidancePass("mod", *positive, perturbation=_ISOLATED))
        return passes


def _combine(
    guider: MultiModalGuider, results: dict[str, tuple[Tensor | None, Tensor | None]], stream: int
) -> Prediction:
    """Guided prediction of one modality; passes that only the other one needs are left out."""

    def result(name: str, needed: bool) -> Tensor | None:
        return results[name][stream] if needed and name in results else None

    denoised = calculate_per_sample(
        guider,
        cond=results["cond"][stream],
        uncond=result("uncond", guider.needs_uncond),
        perturbed=result("ptb", guider.needs_perturbed),
        isolated=result("mod", guider.needs_isolated),
    )
    return Prediction(denoised=denoised, uncond=result("uncond", True))


def _require_contexts(
    video_context: Text | None,
    audio_context: Text | None,
    video_state: LatentState | None,
    audio_state: LatentState | None,
) -> None:
    pairs = (("video", video_context, video_state), ("audio", audio_context, audio_state))
    for name, context, state in pairs:
        if state is None:
            continue
        batch = state.latent.shape[0]
        if context is None:
            raise ValueError(f"This run denoises {name}, but there is no {name} text context: encode a prompt for it.")
        if context.shape[0] not in (1, batch):
            raise ValueError(f"The {name} context has a batch of {context.shape[0]}; this run needs 1 or {batch}.")


def _require_equal_lengths(name: str, context: Text | None, guider: Guider | None) -> None:
    negative = None if guider is None else guider.negative_context
    if context is not None and negative is not None and context.shape[1:] != negative.shape[1:]:
        raise ValueError(
            f"The positive {name} context is (tokens, channels) {tuple(context.shape[1:])}, the negative one "
            f"{tuple(negative.shape[1:])}: encode both prompts with the same text encoder."
        )
