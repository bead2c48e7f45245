"""Graphs for other LTX nodes become graphs of ours: how they are read, and what becomes of their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.foreign_graphs import GRAPHS, Graph, Models, saved
from tools import convert as command
from tools.conversion.graphs import convert
from tools.conversion.reading import ConversionError, read_graph


def of_type(prompt: dict[str, Any], type: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in prompt.values() if node["class_type"] == type]


def source(prompt: dict[str, Any], link: list[Any]) -> str:
    return prompt[link[0]]["class_type"]


@pytest.mark.parametrize("name", GRAPHS)
def test_saved_and_queued_form_give_the_same(name: str) -> None:
    graph = GRAPHS[name]()
    assert convert(saved(graph)) == convert(graph)


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_foreign_is_left(name: str) -> None:
    prompt, _ = convert(GRAPHS[name]())
    types = {node["class_type"] for node in prompt.values()}
    assert not {type for type in types if type.startswith(("LTXV", "LTXA", "LTXI", "EmptyLTXV", "Guider", "Gemma"))}
    assert types & {"LTX2Sampler"}


def test_joined_latents_become_two_wires_of_one_sampler() -> None:
    prompt, notes = convert(GRAPHS["core_text_to_video"]())
    first, second = of_type(prompt, "LTX2Sampler")
    [empty] = of_type(prompt, "LTX2EmptyLatents")
    assert empty == {"width": 768, "height": 512, "length": 97, "frame_rate": 24, "batch_size": 1}
    assert first["video_latent"][0] == first["audio_latent"][0]
    assert source(prompt, second["video_latent"]) == "LTX2LatentUpscale"
    assert source(prompt, second["audio_latent"]) == "LTX2Sampler"
    assert source(prompt, second["model"]) == "LTX2LoraLoader"
    assert first["solver"] == "euler_ancestral"
    assert notes == []


def test_guidance_appears_where_there_is_some() -> None:
    prompt, _ = convert(GRAPHS["core_text_to_video"]())
    guided, plain = of_type(prompt, "LTX2Guider")
    assert guided.keys() == {"positive", "negative", "video_guidance", "audio_guidance"}
    assert plain.keys() == {"positive"}
    assert [values["cfg"] for values in of_type(prompt, "LTX2GuidanceParameters")] == [4.0, 4.0]


def test_parameters_per_modality() -> None:
    prompt, notes = convert(GRAPHS["pack_full_model"]())
    video, audio = of_type(prompt, "LTX2GuidanceParameters")
    assert (video["cfg"], video["rescale"], video["stg_blocks"]) == (3.0, 0.9, "2")
    assert (audio["cfg"], audio["rescale"], audio["modality_scale"]) == (7.0, 0.7, 3.0)
    assert of_type(prompt, "LTX2Sampler")[0]["solver"] == "res_2s"
    assert any("res_2s" in note for note in notes)


def test_patches_of_the_model_become_guidance() -> None:
    prompt, _ = convert(GRAPHS["core_split_files"]())
    video, audio = of_type(prompt, "LTX2GuidanceParameters")
    assert (video["cfg"], video["stg_scale"], video["stg_blocks"], video["modality_scale"]) == (3.0, 1.0, "2", 3.0)
    assert audio == video
    [duration], [empty] = of_type(prompt, "LTX2DurationPredictor"), of_type(prompt, "LTX2EmptyLatents")
    assert duration["duration_head"] == "ltx-2.5-duration-head-bf16.safetensors"
    assert source(prompt, empty["length"]) == "LTX2DurationPredictor"
    assert source(prompt, empty["frame_rate"]) == "PrimitiveFloat"


def test_pictures_become_guides_in_order() -> None:
    prompt, _ = convert(GRAPHS["core_first_last_frame"]())
    first, last = of_type(prompt, "LTX2ImageGuide")
    assert (first["frame_index"], last["frame_index"]) == (0, -1)
    assert first["crf"] == last["crf"] == 25 and first["as_keyframe"] and first["strength"] == 0.7
    assert "guides" not in first and source(prompt, last["guides"]) == "LTX2ImageGuide"
    [sampler] = of_type(prompt, "LTX2Sampler")
    assert sampler["solver"] == "euler" and prompt[sampler["guides"][0]]["inputs"] == last


def test_a_bypassed_picture_and_a_rounded_rate() -> None:
    prompt, notes = convert(GRAPHS["pack_two_stage"]())
    [guide] = of_type(prompt, "LTX2ImageGuide")
    assert (guide["crf"], guide["strength"], guide.get("as_keyframe", False)) == (18, 0.7, False)
    assert any("was bypassed" in note for note in notes)
    assert [node["solver"] for node in of_type(prompt, "LTX2Sampler")] == ["euler_ancestral_cfg_pp", "euler_cfg_pp"]
    assert all("negative" in guider for guider in of_type(prompt, "LTX2Guider"))  # cfg_pp steps need it at scale 1 too


def test_films_become_references_and_sounds_freeze() -> None:
    prompt, _ = convert(GRAPHS["pack_ic_lora"]())
    [reference], [sampler] = of_type(prompt, "LTX2ReferenceVideoGuide"), of_type(prompt, "LTX2Sampler")
    assert source(prompt, reference["images"]) == "GetVideoComponents"
    assert reference["model"] == sampler["model"] and source(prompt, reference["model"]) == "LTX2LoraLoader"
    assert reference["tile_size"] == 512
    assert source(prompt, sampler["audio_latent"]) == "LTX2FreezeLatent"
    assert of_type(prompt, "LTX2ReferenceAudioGuide") == []  # its tokens were not wired to the guider
    [sampler] = of_type(convert(GRAPHS["core_audio_to_video"]())[0], "LTX2Sampler")
    assert sampler["audio_latent"]


def test_reference_tokens_that_reach_the_guider() -> None:
    g = Models()
    voice = g("LTXVAudioVAEEncode", audio=g("LoadAudio", audio="sound.wav"), audio_vae=g.audio_vae)
    g.positive = g("LTXVSetAudioRefTokens", positive=g.positive, negative=g.negative, audio_latent=voice)
    g.negative = g.at(g.positive, 1)
    prompt, _ = convert(g.save(g.sample(g.both(g.empty(), g.empty_sound()))))
    [sampler] = of_type(prompt, "LTX2Sampler")
    assert source(prompt, sampler["guides"]) == "LTX2ReferenceAudioGuide"


def test_windows_of_the_looping_sampler() -> None:
    prompt, notes = convert(GRAPHS["pack_detailer"]())
    [sampler], [windows] = of_type(prompt, "LTX2Sampler"), of_type(prompt, "LTX2ContextWindows")
    assert (windows["window_length"], windows["overlap"]) == (57, 24)
    assert source(prompt, sampler["windows"]) == "LTX2ContextWindows"
    assert source(prompt, sampler["guides"]) == "LTX2ReferenceLatentGuide"
    assert any("Segment Prompts" in note for note in notes)


def test_sound_alone_has_no_picture() -> None:
    prompt, _ = convert(GRAPHS["pack_text_to_audio"]())
    [sampler] = of_type(prompt, "LTX2Sampler")
    assert "video_latent" not in sampler and sampler["audio_latent"]


def test_a_folder_of_gemma_is_named_as_a_folder() -> None:
    prompt, _ = convert(GRAPHS["pack_enhancer"]())
    encoders = [node["text_encoder"] for node in of_type(prompt, "LTX2TextEncoderLoader")]
    assert "gemma-3-12b-it-qat-q4_0-unquantized" in encoders
    assert any(isinstance(node["prompt"], list) for node in of_type(prompt, "LTX2TextEncode"))


def test_what_has_no_counterpart_is_listed() -> None:
    prompt, notes = convert(GRAPHS["pack_hdr_still"]())
    assert sum(note.startswith("No counterpart: ") for note in notes) >= 1
    assert any("LTXVLoadEXRSequence" in note for note in notes)
    assert any("LTXVSaveHLG" in note for note in notes)
    assert [node["curve"] for node in of_type(prompt, "LTX2HDRDecode")] == ["ACEScct"]


def test_sizes_that_comfyui_rounds_in_silence_are_rounded() -> None:
    g = Models()
    prompt, _ = convert(g.save(g.sample(g.both(g.empty(1000, 719, 120), g.empty_sound(120)))))
    [empty] = of_type(prompt, "LTX2EmptyLatents")
    assert (empty["width"], empty["height"], empty["length"]) == (992, 704, 113)


def test_another_model_in_the_graph_stays() -> None:
    g = Models()
    depth = g("UNETLoader", unet_name="lotus-depth-d-v1-1.safetensors", weight_dtype="default")
    film = g("GetVideoComponents", video=g("LoadVideo", file="source.mp4"))
    other = g("VAELoader", vae_name="vae-ft-mse-840000-ema-pruned.safetensors")
    pictures = g(
        "VAEDecode",
        vae=other,
        samples=g(
            "SamplerCustomAdvanced",
            noise=g("DisableNoise"),
            guider=g("BasicGuider", model=depth, conditioning=g("LotusConditioning")),
            sampler=g("KSamplerSelect", sampler_name="euler"),
            sigmas=g("BasicScheduler", model=depth, scheduler="normal", steps=1, denoise=1.0),
            latent_image=g("VAEEncode", pixels=film, vae=other),
        ),
    )
    guided = g("LTXVAddGuide", 2, positive=g.positive, negative=g.negative, vae=g.vae, latent=g.empty(), image=pictures)
    prompt, notes = convert(g.save(g.sample(g.both(guided, g.empty_sound()))))
    kept = {node["class_type"] for node in prompt.values() if not node["class_type"].startswith("LTX2")}
    assert kept >= {"UNETLoader", "VAELoader", "KSamplerSelect", "BasicScheduler", "VAEDecode", "VAEEncode"}
    assert len(of_type(prompt, "LTX2Sampler")) == 1 and notes == []


def test_a_patch_of_another_pack_is_left_out_and_said() -> None:
    g = Models()
    g.model = g("PathchSageAttentionKJ", model=g.model, sage_attention="auto")
    prompt, notes = convert(g.save(g.sample(g.both(g.empty(), g.empty_sound()))))
    assert [note.partition(" (")[0] for note in notes] == ["Left out: PathchSageAttentionKJ"]
    assert source(prompt, of_type(prompt, "LTX2Sampler")[0]["model"]) == "LTX2CheckpointLoader"


# --- Reading ----------------------------------------------------------------------------------------------------------


def with_subgraph() -> dict[str, Any]:
    """A loader and a prompt inside a subgraph whose text and frame rate are shown on its node."""
    inner = {
        "id": "inner",
        "inputs": [{"name": "text", "linkIds": [3]}, {"name": "noise_seed", "linkIds": [4]}],
        "outputs": [{"name": "out", "linkIds": [5]}],
        "nodes": [
            {
                "id": 1,
                "type": "CLIPTextEncode",
                "inputs": [{"name": "text", "link": 3, "widget": {"name": "text"}}],
                "widgets_values": ["inner text"],
            },
            {
                "id": 2,
                "type": "RandomNoise",
                "inputs": [{"name": "noise_seed", "link": 4, "widget": {"name": "noise_seed"}}],
                "widgets_values": [1, "fixed"],
            },
        ],
        "links": [
            {"id": 3, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 4, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 0},
            {"id": 5, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    node = {"id": 9, "type": "inner", "inputs": [{"name": "text", "link": 1}], "widgets_values": ["outer text", 77]}
    text = {"id": 8, "type": "PrimitiveString", "widgets_values": ["wired"], "outputs": [{"type": "STRING"}]}
    show = {"id": 7, "type": "PreviewAny", "inputs": [{"name": "source", "link": 2}], "widgets_values": []}
    return {
        "nodes": [node, text, show],
        "links": [[1, 8, 0, 9, 0, "STRING"], [2, 9, 0, 7, 0, "*"]],
        "definitions": {"subgraphs": [inner]},
    }


def test_subgraphs_are_opened_with_what_their_node_shows() -> None:
    items = {item.type: item for item in read_graph(with_subgraph())}
    assert str(items["CLIPTextEncode"].inputs["text"]) == "Link(node='8', slot=0)"
    assert items["RandomNoise"].inputs == {"noise_seed": 77}
    assert items["PreviewAny"].inputs["source"].node == items["CLIPTextEncode"].id == "9:1"
    graph = with_subgraph()
    graph["links"] = graph["links"][1:]
    assert {item.type: item for item in read_graph(graph)}["CLIPTextEncode"].inputs == {"text": "outer text"}


def test_reroutes_and_bypassed_nodes_are_passed_through() -> None:
    graph = {
        "nodes": [
            {"id": 1, "type": "LoadImage", "widgets_values": ["a.png", "image"], "outputs": [{"type": "IMAGE"}]},
            {"id": 2, "type": "Reroute", "inputs": [{"name": "", "link": 1}], "outputs": [{"type": "*"}]},
            {
                "id": 3,
                "type": "ImageInvert",
                "mode": 4,
                "inputs": [{"name": "image", "type": "IMAGE", "link": 2}],
                "outputs": [{"type": "IMAGE"}],
            },
            {"id": 4, "type": "SaveImage", "inputs": [{"name": "images", "link": 3}], "widgets_values": ["x"]},
            {"id": 5, "type": "SaveImage", "mode": 2, "inputs": [{"name": "images", "link": 3}]},
            {"id": 6, "type": "MarkdownNote", "widgets_values": ["text"]},
        ],
        "links": [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 4, 0, "IMAGE"]],
    }
    items = read_graph(graph)
    assert [item.type for item in items] == ["LoadImage", "SaveImage"]
    assert items[1].inputs == {"filename_prefix": "x", "images": items[1].inputs["images"]}
    assert items[1].inputs["images"].node == "1"


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ([], "This is no graph"),
        ({}, "This is no graph"),
        ({"nodes": [{"type": "X"}]}, "damaged"),
        ({"1": {"class_type": "X", "inputs": 3}}, "damaged"),
        ({"1": {"class_type": "SaveImage", "inputs": {}}}, "no node for LTX models"),
    ],
)
def test_what_cannot_be_read(graph: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(graph)


def test_wires_in_a_circle_end() -> None:
    g = Graph()
    loop = g("LTXVPreprocess", image=["2", 0])
    g("LTXVPreprocess", image=loop)
    g("SaveImage", images=loop, filename_prefix="x")
    _, notes = convert(g.prompt)
    assert any("in a circle" in note for note in notes)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(saved(GRAPHS["pack_hdr_still"]())))
    assert command.main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert "old-ltx2.json" in printed and "- No counterpart: LTXVLoadEXRSequence" in printed
    assert "LTX2Sampler" in (tmp_path / "old-ltx2.json").read_text()
    assert command.main([str(path)]) == 1  # never over a file that is there
    assert command.main([str(path), "-o", str(path)]) == 1
    assert command.main([str(path), "-o", str(tmp_path / "new.json")]) == 0
