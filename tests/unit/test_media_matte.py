"""Mattes: every step against a second implementation written from its formula, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ltx_core_impl.media.matte import (
    CONTAIN,
    COVER,
    FRAMES_AT_ONCE,
    STRETCH,
    MatteSettings,
    composited,
    fitted_plate,
    gaussian_blur,
    matte_of,
    refined_matte,
    unmixed,
)

HEIGHT, WIDTH = 9, 12


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


MATTE = noise(2, HEIGHT, WIDTH)


def blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    """The weighted mean over a square of 3 sigma, edges repeated, in float64."""
    radius = max(1, round(3 * sigma))
    result = np.empty(plane.shape)
    taps = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-radius, radius + 1)]
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            total = weight = 0.0
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    row, column = np.clip(y + dy, 0, plane.shape[0] - 1), np.clip(x + dx, 0, plane.shape[1] - 1)
                    total += taps[dy + radius] * taps[dx + radius] * plane[row, column]
                    weight += taps[dy + radius] * taps[dx + radius]
            result[y, x] = total / weight
    return result


def largest(plane: np.ndarray, pixels: int) -> np.ndarray:
    padded = np.pad(plane, pixels, mode="edge")
    side = 2 * pixels + 1
    return np.array(
        [[padded[y : y + side, x : x + side].max() for x in range(plane.shape[1])] for y in range(plane.shape[0])]
    )


def test_the_defaults_change_nothing() -> None:
    assert torch.equal(refined_matte(MATTE, MatteSettings()), MATTE)


def test_the_matte_of_a_picture_is_its_alpha_or_its_red() -> None:
    assert torch.equal(matte_of(noise(1, 2, 3, 4)), noise(1, 2, 3, 4)[..., 3])
    assert torch.equal(matte_of(noise(1, 2, 3, 3)), noise(1, 2, 3, 3)[..., 0])


@pytest.mark.parametrize("pixels", [1, 3, 128])
def test_expand_takes_the_largest_value_of_a_square_and_the_smallest_backwards(pixels: int) -> None:
    grown, shrunk = (refined_matte(MATTE, MatteSettings(expand=e)) for e in (pixels, -pixels))
    for frame, plane in enumerate(MATTE.numpy()):
        np.testing.assert_array_equal(grown[frame].numpy(), largest(plane, pixels))
        np.testing.assert_allclose(shrunk[frame].numpy(), 1 - largest(1 - plane, pixels), atol=1e-7)


@pytest.mark.parametrize(("black", "white"), [(0.1, 0.0), (0.0, 0.2), (0.3, 0.25), (0.5, 0.5)])
def test_clean_stretches_what_lies_between_the_clips(black: float, white: float) -> None:
    low, high = black, max(1 - white, black + 1e-4 if 1 - white <= black else 0)
    expected = np.clip((MATTE.double().numpy() - low) / (high - low), 0, 1)
    cleaned = refined_matte(MATTE, MatteSettings(black_clip=black, white_clip=white))
    # The steepest ramp multiplies float32 rounding by 10000.
    np.testing.assert_allclose(cleaned.numpy(), expected, atol=1e-6 if high - low > 0.01 else 2e-3)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 2.5])
def test_feather_is_a_gaussian_that_repeats_the_edge(sigma: float) -> None:
    soft = refined_matte(MATTE, MatteSettings(feather=sigma))
    for frame, plane in enumerate(MATTE.double().numpy()):
        np.testing.assert_allclose(soft[frame].numpy(), blurred(plane, sigma), atol=1e-6)


def test_the_steps_come_in_order_and_mix_goes_back_to_the_inverted_matte() -> None:
    settings = MatteSettings(invert=True, expand=1, black_clip=0.2, white_clip=0.1, feather=0.8, mix=0.6)
    result = refined_matte(MATTE, settings)
    for frame, plane in enumerate(MATTE.double().numpy()):
        raw = 1 - plane
        changed = blurred(np.clip((largest(raw, 1) - 0.2) / 0.7, 0, 1), 0.8)
        np.testing.assert_allclose(result[frame].numpy(), raw * 0.4 + changed * 0.6, atol=1e-6)
    torch.testing.assert_close(refined_matte(MATTE, MatteSettings(invert=True, expand=9, mix=0.0)), 1 - MATTE)


def test_many_frames_are_worked_on_in_parts() -> None:
    matte = noise(FRAMES_AT_ONCE + 3, 5, 6, seed=2)
    settings = MatteSettings(expand=-1, feather=1.0)
    alone = torch.cat([refined_matte(one[None], settings) for one in matte])
    torch.testing.assert_close(refined_matte(matte, settings), alone)


# --- Colours ----------------------------------------------------------------------------------------------------------


def unmixed_by_definition(picture: np.ndarray, alpha: np.ndarray, amount: float, radius: float) -> np.ndarray:
    sigma = max(0.5, radius)
    weight = blurred((1 - alpha) ** 2, sigma)
    background = np.stack([blurred(picture[..., c] * (1 - alpha) ** 2, sigma) for c in range(3)], axis=-1)
    background = np.clip(background / np.maximum(weight, 1e-4)[..., None], 0, 1)
    result = picture.copy()
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            colour, a = picture[y, x], alpha[y, x]
            opaque = max(a, 0.25)
            target = (colour - (1 - opaque) * background[y, x]) / opaque
            step = 1.0
            for c in range(3):
                if target[c] > 1:
                    step = min(step, (1 - colour[c]) / (target[c] - colour[c]))
                elif target[c] < 0:
                    step = min(step, colour[c] / (colour[c] - target[c]))
            share = amount * min(max(a / 0.1, 0), 1)
            result[y, x] = colour * (1 - share) + (colour + step * (target - colour)) * share
    return result


@pytest.mark.parametrize(("amount", "radius"), [(1.0, 1.0), (0.6, 2.0), (1.0, 0.1)])
def test_colours_are_unmixed_as_the_formula_says(amount: float, radius: float) -> None:
    pictures, alpha = noise(2, HEIGHT, WIDTH, 3, seed=3), noise(2, HEIGHT, WIDTH, seed=4)
    alpha[:, :, :2], alpha[:, :, -2:], alpha[0, 0] = 0, 1, 0.05
    result = unmixed(pictures, alpha, amount, radius)
    for frame in range(2):
        expected = unmixed_by_definition(
            pictures[frame].double().numpy(), alpha[frame].double().numpy(), amount, radius
        )
        np.testing.assert_allclose(result[frame].numpy(), expected, atol=2e-6)
    assert result.min() >= -1e-6 and result.max() <= 1 + 1e-6
    torch.testing.assert_close(unmixed(pictures, alpha, 0.0, radius), pictures)


def test_a_green_screen_leaves_a_soft_edge() -> None:
    """A red subject over green: with its true matte the edge is red again."""
    alpha = torch.linspace(-7.5, 8.5, 96).clamp(0, 1).expand(1, 32, 96)
    red, green = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.1, 0.7, 0.1])
    mixed = red * alpha[..., None] + green * (1 - alpha[..., None])
    clean = unmixed(mixed, alpha, 1.0, radius=12)
    edge = (alpha > 0.2) & (alpha < 1)
    before, after = ((one - red).abs()[edge].mean() for one in (mixed, clean))
    assert after < before / 4


# --- Composites -------------------------------------------------------------------------------------------------------


def test_straight_alpha_over_a_plate_with_even_sides() -> None:
    pictures, alpha, plate = noise(3, HEIGHT, 7, 3), noise(3, HEIGHT, 7, seed=1), noise(1, HEIGHT, 7, 3, seed=2)
    over = composited(pictures, alpha, plate)
    assert over.shape == (3, 10, 8, 3)
    expected = pictures * alpha[..., None] + plate * (1 - alpha[..., None])
    torch.testing.assert_close(over[:, :HEIGHT, :7], expected)
    assert not over[:, HEIGHT:].any() and not over[:, :, 7:].any()
    torch.testing.assert_close(composited(pictures, alpha, None)[:, :HEIGHT, :7], pictures * alpha[..., None])


def test_a_shorter_plate_holds_its_last_frame_or_starts_again() -> None:
    count = FRAMES_AT_ONCE + 2
    pictures, alpha = torch.zeros(count, 2, 2, 3), torch.zeros(count, 2, 2)
    plate = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 2, 3) / 2
    held, looped = (composited(pictures, alpha, plate, loop=loop)[:, 0, 0, 0] * 2 for loop in (False, True))
    assert held.tolist() == [0, 1, *[2] * (count - 2)]
    assert looped.tolist() == [index % 3 for index in range(count)]


def test_a_plate_is_fitted_by_cover_contain_or_stretch() -> None:
    plate = torch.ones(1, 4, 8, 3)
    assert all(fitted_plate(plate, 8, 8, fit).shape == (1, 8, 8, 3) for fit in (COVER, CONTAIN, STRETCH))
    rows = fitted_plate(plate, 8, 8, CONTAIN)[0, :, 4, 0].tolist()
    assert rows == [0, 0, 1, 1, 1, 1, 0, 0]
    assert (fitted_plate(plate, 8, 8, COVER) == 1).all() and (fitted_plate(plate, 8, 8, STRETCH) == 1).all()
    ramp = torch.arange(8.0).view(1, 1, 8, 1).expand(1, 4, 8, 3)
    # Cover doubles the ramp and keeps its middle; stretch keeps it whole.
    assert fitted_plate(ramp, 8, 8, COVER)[0, 0, :, 0].tolist() == [1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.25]
    assert fitted_plate(ramp, 8, 8, STRETCH)[0, 0, :, 0].tolist() == list(range(8))


def test_a_blur_keeps_a_plane_of_one_value() -> None:
    torch.testing.assert_close(gaussian_blur(torch.full((1, 3, 4, 5), 0.3), 7.0), torch.full((1, 3, 4, 5), 0.3))
