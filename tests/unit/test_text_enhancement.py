"""Prompt enhancement: requests, sampling, images, cleaning, errors (spec 05 §12)."""

from __future__ import annotations

import pytest
import torch
import transformers

from ltx_core_impl.text_encoders import writing_settings
from ltx_core_impl.text_encoders.gemma import (
    GemmaTextEncoder,
    PromptEnhancementError,
    clean_response,
    enhance_prompt,
    enhancement,
    generation,
    load_text_encoder,
)
from ltx_core_impl.text_encoders.gemma.enhancement import request, request_ids, request_text
from ltx_core_impl.text_encoders.gemma.generation import generate
from ltx_core_impl.text_encoders.gemma.images import image_pixels
from ltx_core_impl.text_encoders.gemma.system_prompts import IMAGE_TO_VIDEO, TEXT_TO_VIDEO
from tests.conftest import assert_close
from tests.text_helpers import GEMMA3, GEMMA4

IMAGE = torch.rand(30, 40, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def encoder() -> GemmaTextEncoder:
    return load_text_encoder(GEMMA3, dtype=torch.float32, with_vision=True)


@pytest.fixture(scope="module")
def peer() -> transformers.Gemma3ForConditionalGeneration:
    # In float32 from the start: widened afterwards, what it computes while it is built would be rounded to bfloat16.
    version = tuple(map(int, transformers.__version__.split(".")[:2]))
    dtype = {"dtype" if version >= (4, 56) else "torch_dtype": torch.float32}
    model = transformers.Gemma3ForConditionalGeneration.from_pretrained(
        GEMMA3, attn_implementation="sdpa", local_files_only=True, **dtype
    )
    return model.eval()


def test_request_from_text() -> None:
    expected = "<start_of_turn>user\nS\n\nuser prompt: P<end_of_turn>\n<start_of_turn>model\n"
    assert request_text("P", "S") == expected


def test_request_from_an_image() -> None:
    soft = "<image_soft_token>" * 3
    expected = (
        f"<start_of_turn>user\nS\n\n\n\n<start_of_image>{soft}<end_of_image>\n\n"
        "User Raw Input Prompt: P.<end_of_turn>\n<start_of_turn>model\n"
    )
    assert request_text("P", "S", image_tokens=3) == expected


def test_request_starts_with_two_bos_and_holds_the_image_tokens(encoder: GemmaTextEncoder) -> None:
    ids = request_ids(encoder, "a red circle", "expand", with_image=True)
    assert ids[:3] == [2, 2, encoder.tokenizer.token_id("<start_of_turn>")]
    assert ids.count(encoder.tokenizer.token_id("<image_soft_token>")) == 4


@pytest.mark.parametrize("with_image", [False, True])
def test_greedy_answers_equal_those_of_a_folder_opened_by_transformers(
    encoder: GemmaTextEncoder, peer, monkeypatch, with_image: bool
) -> None:
    """The most likely tokens, beyond the sliding window: weights, picture and cache."""
    monkeypatch.setattr(generation, "TOP_K", 1)
    asked = request(encoder, "a red circle moves", "expand this", IMAGE if with_image else None)
    ids = asked["ids"]
    inputs = {"input_ids": ids[None], "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    if with_image:
        inputs["pixel_values"] = asked["pixels"]
        inputs["token_type_ids"] = asked["image_tokens"][None].long()
    with torch.no_grad():
        expected = peer.generate(**inputs, do_sample=False, max_new_tokens=12, eos_token_id=511)[0, len(ids) :].tolist()
    actual, finished = generate(encoder.gemma.writer, **asked, max_new_tokens=12, stop_ids={511}, seed=0)
    assert actual == [token for token in expected if token != 511]
    assert finished == (511 in expected)


def test_answers_from_a_cache_equal_those_without(encoder: GemmaTextEncoder, monkeypatch) -> None:
    monkeypatch.setattr(generation, "TOP_K", 1)
    ids = request(encoder, "a red circle moves", "expand this", None)["ids"]
    actual, _ = generate(encoder.gemma.writer, ids, max_new_tokens=12, stop_ids=(), seed=0)
    head = encoder.gemma.language_model.embed_tokens.weight
    for length in range(12):
        so_far = torch.cat((ids, torch.tensor(actual[:length], dtype=torch.long)))
        (states,) = encoder.gemma.hidden_states([so_far], first_positions=[0])
        assert int((head @ states[0, -1, :, -1]).argmax()) == actual[length]


def test_scores_with_a_picture_equal_those_of_a_folder_opened_by_transformers(encoder: GemmaTextEncoder, peer) -> None:
    asked = request(encoder, "a red circle moves", "expand this", IMAGE)
    inputs = {"input_ids": asked["ids"][None], "token_type_ids": asked["image_tokens"][None].long()}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        actual = encoder.gemma.writer(**inputs, pixel_values=asked["pixels"]).logits
        expected = peer(**inputs, pixel_values=asked["pixels"]).logits
        other = encoder.gemma.writer(**inputs, pixel_values=torch.zeros_like(asked["pixels"])).logits
    assert_close(actual, expected, tolerance=2e-6)
    assert not torch.equal(actual, other), "the picture is seen"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [(30, 40), (40, 30), (2000, 100), (896, 896)])
def test_image_pixels(dtype: torch.dtype, size: tuple[int, int]) -> None:
    image = torch.full((*size, 3), 0.5) if dtype.is_floating_point else torch.full((*size, 3), 127, dtype=dtype)
    pixels = image_pixels(image, image_size=56, processor={})
    assert pixels.shape == (1, 3, 56, 56)
    torch.testing.assert_close(pixels, torch.full_like(pixels, 127 / 127.5 - 1))


def test_image_pixels_are_those_of_the_folders_processor(encoder: GemmaTextEncoder) -> None:
    own = {"backend": "pil"} if transformers.__version__.startswith("5.") else {"use_fast": False}
    processor = transformers.AutoImageProcessor.from_pretrained(GEMMA3, **own, local_files_only=True)
    image = (IMAGE * 255).to(torch.uint8)
    small = torch.nn.functional.interpolate(
        image.movedim(-1, 0)[None].float(), size=(672, 896), mode="bilinear", align_corners=False
    ).to(torch.uint8)
    expected = processor(small[0].movedim(0, -1).numpy(), return_tensors="pt")["pixel_values"]
    assert torch.equal(image_pixels(image, 56, encoder.image_processor), expected)
    assert torch.equal(image_pixels(image, 56, {}), expected), "the published settings"
    other = encoder.image_processor | {"image_mean": [0.4] * 3}
    assert not torch.equal(image_pixels(image, 56, other), expected)


def test_batches_of_images_are_refused(encoder: GemmaTextEncoder) -> None:
    with pytest.raises(ValueError, match=r"One picture \(height, width, 3\)"):
        enhance_prompt(encoder, "a red circle", image=IMAGE[None])


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, encoder: GemmaTextEncoder):
    """Makes the model answer with a given text."""

    def set_answer(text: str, finished: bool = True) -> dict:
        seen = {}

        def fake(writer, ids, **settings):
            seen.update(settings, length=len(ids))
            return encoder.tokenizer.encode_whole(text)[1:], finished

        monkeypatch.setattr(enhancement, "generate", fake)
        return seen

    return set_answer


def test_answer_is_cleaned(encoder: GemmaTextEncoder, answer) -> None:
    seen = answer("  ** a red circle")
    assert enhance_prompt(encoder, "circle", system_prompt="expand", seed=7, max_new_tokens=9) == "a red circle"
    assert (seen["seed"], seen["max_new_tokens"], "image_tokens" in seen) == (7, 9, False)
    assert seen["stop_ids"] == {encoder.tokenizer.eos_id, encoder.tokenizer.token_id("<end_of_turn>")}


@pytest.mark.parametrize(("image", "system"), [(None, TEXT_TO_VIDEO), (IMAGE, IMAGE_TO_VIDEO)])
def test_built_in_instructions(encoder: GemmaTextEncoder, answer, image, system: str) -> None:
    seen = answer("a red circle")
    enhance_prompt(encoder, "circle", image=image)
    assert seen["length"] == len(request_ids(encoder, "circle", system, with_image=image is not None))


def test_empty_and_unfinished_answers_are_errors(encoder: GemmaTextEncoder, answer) -> None:
    answer("")
    with pytest.raises(PromptEnhancementError, match="came out empty"):
        enhance_prompt(encoder, "circle")
    answer("a red circle moves", finished=False)
    with pytest.raises(PromptEnhancementError, match=r"not finished after 512 tokens \(it ends in 'a red circle"):
        enhance_prompt(encoder, "circle")


@pytest.mark.parametrize("settings", [{"prompt": " "}, {"system_prompt": ""}, {"max_new_tokens": 0}])
def test_nothing_to_enhance(encoder: GemmaTextEncoder, settings: dict) -> None:
    with pytest.raises(ValueError, match="Enhancing needs a prompt, a system prompt and room"):
        enhance_prompt(encoder, **({"prompt": "circle"} | settings))


def test_encoders_that_cannot_do_it_say_so() -> None:
    with pytest.raises(PromptEnhancementError, match=r"LTX-2\.5 .* cannot write text"):
        enhance_prompt(load_text_encoder(GEMMA4), "circle")
    with pytest.raises(PromptEnhancementError, match="loaded without its vision tower"):
        enhance_prompt(load_text_encoder(GEMMA3), "circle", image=IMAGE)


def run(encoder: GemmaTextEncoder, seed: int, **settings) -> tuple[list[int], bool]:
    ids = torch.tensor([2, 10, 11, 12])
    return generate(encoder.gemma.writer, ids, max_new_tokens=20, stop_ids=(), seed=seed, **settings)


def test_sampling_is_seeded_and_leaves_the_global_state_alone(encoder: GemmaTextEncoder) -> None:
    before = torch.get_rng_state()
    first, finished = run(encoder, seed=1)
    assert not finished and len(first) == 20
    assert run(encoder, seed=1)[0] == first
    assert run(encoder, seed=2)[0] != first
    assert torch.equal(torch.get_rng_state(), before)


def test_callback_counts_tokens_and_may_interrupt(encoder: GemmaTextEncoder) -> None:
    counts: list[int] = []
    run(encoder, seed=1, callback=counts.append)
    assert counts == list(range(1, 21))

    def interrupt(count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(encoder, seed=1, callback=interrupt)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("**Style: “calm” — it’s 5′ long…", "Style: \"calm\" - it's 5' long…"),
        ("123 - !", "123 - !"),
        ("1) Été", "Été"),
        ("a–b−c\u00a0d ‘e’", "a-b-c d 'e'"),
        ("", ""),
    ],
)
def test_cleaning(raw: str, clean: str) -> None:
    assert clean_response(raw) == clean


def test_published_settings_are_those_of_the_graphs() -> None:
    """The table of spec 08 §1.4."""
    found = {
        name: (tokens, s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty)
        for name, (tokens, s) in writing_settings.PUBLISHED_SETTINGS.items()
    }
    assert found == {
        "LTX-2.5 HDR graphs, text": (600, 0.01, 0, 1.0, 0.0, 1.15),
        "LTX-2.5 HDR graphs, image": (512, 0.7, 64, 0.95, 0.05, 1.05),
        "LTX-2.5 templates": (600, 0.7, 64, 0.95, 0.05, 1.15),
    }


def test_sampling_settings_reach_transformers(encoder: GemmaTextEncoder, peer) -> None:
    """A seed and settings give what transformers gives for them; those left out are the reference's."""
    asked = request(encoder, "a red circle moves", "expand this", None)
    ids = asked["ids"]

    def written(sampling: generation.Sampling | None) -> list[int]:
        options = {"max_new_tokens": 12, "stop_ids": {511}, "seed": 7}
        return generate(encoder.gemma.writer, **asked, **options, sampling=sampling)[0]

    chosen = {"temperature": 1.9, "top_k": 0, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.5}
    with torch.no_grad(), generation._seeded(7, ids.device):
        answer = peer.generate(
            input_ids=ids[None],
            attention_mask=torch.ones_like(ids)[None],
            do_sample=True,
            max_new_tokens=12,
            eos_token_id=511,
            pad_token_id=0,
            **chosen,
        )
    assert written(generation.Sampling(**chosen)) == [token for token in answer[0, len(ids) :].tolist() if token != 511]
    assert written(None) == written(generation.Sampling()) != written(generation.Sampling(**chosen))
