"""The demo model's world: what is rendered is what the prompt says and what the measurements find."""

from __future__ import annotations

import pytest
import torch

from tools.demo_model import measure, prompts, world
from tools.demo_model.latents import is_held_out, training_scenes


def scenes(count: int, **fixed: str) -> list[world.Scene]:
    generator = torch.Generator().manual_seed(3)
    return [world.draw_scene(generator, **fixed) for _ in range(count)]


@pytest.mark.parametrize("motion", world.MOTIONS)
def test_measurements_find_what_was_rendered(motion: str) -> None:
    for scene in scenes(6, motion=motion):
        clip = (world.render_video([scene])[0].permute(1, 2, 3, 0) + 1) / 2
        picture = measure.measure_picture(clip)
        assert picture[:4] == (scene.shape, scene.color, scene.ground, scene.motion)
        sound = measure.measure_sound(world.render_audio([scene])[0], world.SAMPLE_RATE)
        assert sound.pitch == scene.pitch
        assert sound.frequency == pytest.approx(world.PITCHES[scene.pitch], rel=0.03)


def test_beeps_come_with_the_bounces() -> None:
    for scene in scenes(8, motion="bounce"):
        clip = (world.render_video([scene])[0].permute(1, 2, 3, 0) + 1) / 2
        sound = measure.measure_sound(world.render_audio([scene])[0], world.SAMPLE_RATE)
        seconds = world.FRAMES / world.FPS
        expected = [time for time in scene.bounces(seconds) if time < seconds - 0.05]
        assert [time for time in sound.onsets if time < seconds - 0.05] == pytest.approx(expected, abs=0.03)
        bounces = measure.bounce_times(measure.measure_picture(clip), world.FPS)
        assert measure.beeps_match(sound.onsets, bounces, tolerance=1 / world.FPS)


def test_sound_at_the_wrong_time_does_not_match() -> None:
    assert not measure.beeps_match([0.5, 1.3], [0.1, 0.9, 1.7], tolerance=0.25)
    assert not measure.beeps_match([], [0.5], tolerance=0.25)


def test_prompts_say_every_attribute_and_their_words_are_known() -> None:
    generator = torch.Generator().manual_seed(5)
    known = set(prompts.vocabulary())
    for scene in scenes(200):
        for held_out in (False, True):
            text = prompts.describe(scene, generator, held_out=held_out)
            said = prompts.spoken(scene, text)
            assert [prompts.ATTRIBUTES[name][index] for name, index in said.items()] == list(scene.attributes), text
            words = set(text.lower().replace(",", " ").replace(".", " ").split())
            assert words <= known, words - known


def test_a_prompt_that_leaves_something_out_is_not_labelled_with_it() -> None:
    generator = torch.Generator().manual_seed(5)
    scene = scenes(1)[0]
    text = prompts.describe(scene, generator, omit=1.0)
    said = prompts.spoken(scene, text)
    assert prompts.ATTRIBUTES["ground"][said["ground"]] == prompts.UNSPECIFIED
    assert prompts.ATTRIBUTES["pitch"][said["pitch"]] == prompts.UNSPECIFIED
    assert prompts.ATTRIBUTES["color"][said["color"]] == scene.color


def test_held_out_combinations_are_never_trained_on() -> None:
    drawn = scenes(400)
    share = sum(map(is_held_out, drawn)) / len(drawn)
    assert 0.01 < share < 0.2
    assert not any(map(is_held_out, training_scenes(64, seed=1)))


def test_a_larger_picture_shows_the_same_scene() -> None:
    scene = scenes(1, motion="right")
    small, large = world.render_video(scene), world.render_video(scene, size=128)
    shrunk = torch.nn.functional.avg_pool3d(large, (1, 2, 2))
    assert (small - shrunk).abs().mean() < 0.01
