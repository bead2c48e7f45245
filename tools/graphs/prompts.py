"""What the graphs of the published models are asked to show, by the name of the graph.

Written the way the published prompt enhancers write (spec 05 sections 12.7, 12.8, 15.5): one paragraph in the present
tense, in the order in which things happen, what is heard beside what is seen, exact words in quotes with the voice
that says them. LTX-2 and LTX-2.3 begin with a style; from a picture or a film on only what changes is told. LTX-2.5
has no style clause, but always a shot size, a camera and a viewpoint.
"""

from __future__ import annotations

NEGATIVE = (
    "blurry, out of focus, overexposed, underexposed, low contrast, washed out colors, excessive noise, grainy "
    "texture, poor lighting, flickering, motion blur, distorted proportions, unnatural skin tones, deformed facial "
    "features, asymmetrical face, missing facial features, extra limbs, disfigured hands, wrong hand count, "
    "artifacts around text, inconsistent perspective, camera shake, incorrect depth of field, background too sharp, "
    "background clutter, distracting reflections, harsh shadows, inconsistent lighting direction, color banding, "
    "cartoonish rendering, 3D CGI look, unrealistic materials, uncanny valley effect, incorrect ethnicity, wrong "
    "gender, exaggerated expressions, wrong gaze direction, mismatched lip sync, silent or muted audio, distorted "
    "voice, robotic voice, echo, background noise, off-sync audio, incorrect dialogue, added dialogue, repetitive "
    "speech, jittery movement, awkward pauses, incorrect timing, unnatural transitions, inconsistent framing, tilted "
    "camera, flat lighting, inconsistent tone, cinematic oversaturation, stylized filters, or AI artifacts."
)
NEGATIVE_25 = f"has_subtitles, has_blurbox, transition from black, transition to black, speech_ending_short, {NEGATIVE}"

_BAKERY = (
    "Style: cinematic-realistic, a medium shot of a small bakery before dawn, lit by one lamp above the counter. A "
    "woman in her fifties with gray hair tied back, in a white apron over a blue shirt, is kneading dough on a "
    "floured wooden table; the dough slaps softly on the wood and an oven hums behind her. She presses it twice "
    "more, then stops and brushes her hands, and flour falls through the light. A bell above the door rings. She "
    "looks up, smiles slightly and says in a warm, low voice, 'You are early today. The first loaf is yours.' Steps "
    "come closer on the floorboards while she turns to the oven, opens its iron door with a creak and slides out a "
    "loaf on a long peel, its crust crackling as it meets the cool air."
)
_FOREST = (
    "Style: cinematic-realistic, a wide shot of a forest stream in autumn under soft, gray light. Clear water is "
    "running over round stones with a steady murmur, and yellow leaves are turning on its surface. The camera moves "
    "slowly forward, just above the water. A red fox steps out between the trees on the left, twigs cracking under "
    "its paws, and pauses with one foot lifted. A bird calls twice, far away. Then the fox lowers its head and "
    "drinks with small, quick laps, rings spreading from its muzzle, before it shakes its fur, spraying drops, and "
    "trots off through rustling leaves."
)
_STREET = (
    "Style: cinematic-realistic, night in a narrow shopping street after rain, signs of shops mirrored in the wet "
    "asphalt. A young man with short black hair, in a yellow raincoat, is riding a bicycle towards the camera, tires "
    "hissing on the water, the chain ticking. The camera tracks backward at his speed. A tram passes behind him from "
    "right to left with a metallic rumble and one ring of its bell; its lit windows slide over his face. He brakes "
    "with a short squeal, puts one foot down and breathes out, mist rising, while drops are falling from an awning "
    "onto an empty crate beside him and a radio plays faintly from an open door."
)
_COAST = (
    "Style: cinematic-realistic, a wide view of cliffs above the sea in the late afternoon. Waves are rolling in, "
    "and each one breaks on the rocks with a deep boom and a hiss of foam. The camera rises slowly along the cliff. "
    "Gulls cross the picture, calling. At the top, tall grass is bending in gusts that rush past, and a woman in a "
    "dark green coat walks along the edge towards a white lighthouse, her scarf fluttering. The lamp of the "
    "lighthouse begins to turn, and a fog horn sounds once, long and low, over the surf."
)

PROMPTS = {
    # Speech, with the sounds of its place.
    "text-to-video": _BAKERY,
    # Foley: every sound has its movement.
    "text-to-video-distilled": _FOREST,
    # A camera that moves.
    "save-video": _COAST,
    "two-stage-hq": _STREET,
    "two-stage-distilled": (
        "Style: cinematic-realistic, a close shot of a blacksmith's anvil in a dim workshop, lit by a coal fire. A "
        "hammer is striking a bar of glowing orange iron in a regular beat, and each blow rings out and throws "
        "sparks. The bearded smith, in a brown leather apron, turns the bar with tongs after every third blow. Then "
        "he lifts it, looks along its edge and plunges it into a bucket of water beside the anvil; steam rises with "
        "a loud hiss that fades to a bubbling, while the fire crackles on behind him. The camera is static."
    ),
    "guidance-over-time": (
        "Style: cinematic-realistic, a medium shot on the stage of an empty concert hall. A cellist with long dark "
        "hair, in a black dress, is sitting on a plain chair under one warm light. She lifts the bow, draws a breath "
        "that is heard in the silence, and begins a slow melody on the low strings; the sound fills the room with a "
        "long echo. The camera circles her slowly to the right. Her left hand slides up the neck with a soft squeak "
        "of the string, the melody rises, and she closes her eyes on the last, held note, which fades into quiet."
    ),
    # From a first frame on: what changes in it.
    "image-to-video": (
        "Style: cinematic-realistic. The person in the picture blinks, breathes in and turns the head slightly "
        "towards the camera while a light wind moves hair and clothes and rustles in leaves nearby. The camera "
        "pushes in slowly. The person smiles faintly and says in a calm, clear voice, 'There you are. I was about to "
        "leave.' Distant traffic hums, and a single church bell sounds as the person looks away again, to the left."
    ),
    "image-to-video-distilled": (
        "Style: cinematic-realistic. Light slowly shifts over the scene as clouds pass, and everything that can move "
        "begins to move gently: leaves, cloth, hair. A soft gust is heard, then birds start to sing, first one, then "
        "several. The camera moves slowly to the right, and things in front pass those behind. Steps on gravel come "
        "closer from off-screen and stop."
    ),
    "two-stage": (
        "Style: cinematic-realistic. The wind picks up with a low rush and pulls at everything loose in the picture. "
        "The light dims as a cloud passes, and the first drops of rain are falling with light taps that grow into a "
        "steady patter. Surfaces darken and begin to shine. Far away thunder rolls once. The camera stays still."
    ),
    "first-last-frame": (
        "Style: cinematic-realistic. The clip opens on the given first picture and ends on the given last one, in a "
        "single continuous take. The camera glides forward without haste, and what lies between the two pictures "
        "passes by in turn: nearer things first, then those further away. A soft wind is heard throughout, steps "
        "follow the movement of the camera on gravel and then on wood, and a door closes quietly as the last picture "
        "is reached."
    ),
    "keyframe-interpolation": (
        "Style: cinematic-realistic. One continuous take leads from picture to picture in an even, unhurried "
        "movement. First the view drifts to the side, then it turns forward, and at the end it comes to rest. The "
        "light changes with each picture, softly and without a cut. A breeze is heard at first, then water running "
        "nearby, and at last only the chirping of crickets."
    ),
    "motion-tracks": (
        "Style: cinematic-realistic. The subject of the picture moves along a smooth arc, first up and then down to "
        "the right, while the background stays in place. Cloth rustles with the movement, something light slides "
        "over the ground with a scraping sound, and a muffled bump is heard as it comes to rest. The camera is "
        "static."
    ),
    # A sound is given: who makes it.
    "audio-to-video": (
        "Style: cinematic-realistic, a medium close-up of a man in his thirties with a short beard, in a dark gray "
        "sweater, standing in a quiet room in front of a bookshelf, with window light from the left. He is speaking "
        "to the camera, his lips and jaw following every word; he raises his eyebrows on the stressed ones, and "
        "moves his hands in small gestures below the edge of the picture. In the pauses he breathes and blinks. The "
        "camera is static."
    ),
    "image-and-audio-to-video": (
        "Style: cinematic-realistic. The person in the picture is speaking to the camera, lips and jaw following "
        "every word that is heard, with small nods on the stressed ones. In the pauses the person breathes, blinks "
        "and glances aside for a moment. The camera is static."
    ),
    # Sound alone.
    "text-to-audio": (
        "A kitchen in the morning. Water is running into a metal kettle and stops with a squeak of the tap; the "
        "kettle is set down on the stove with a clank, and a gas flame ignites with two clicks and a puff. Birds are "
        "singing outside. Slippers shuffle across a tiled floor, and a woman with a soft, slightly hoarse voice "
        "says, 'Good morning. Did you sleep well?' The kettle begins to sing, higher and higher, and falls silent as "
        "it is lifted, followed by the sound of tea being poured into a cup."
    ),
    # A film is given: what it shows, what is new in it.
    "video-to-audio": (
        "The sounds of what the film shows, each at its moment and from its distance: steps on the ground they fall "
        "on, cloth rustling with each movement, things touched and set down, and below them the quiet air of the "
        "place, with a light wind and a few birds far away. There is no music and no speech."
    ),
    "ic-lora": (
        "Style: cinematic-realistic, a dancer with short blond hair, in a loose white shirt and black trousers, in "
        "an old factory hall with tall windows. She moves exactly as the control video does, bare feet brushing and "
        "tapping the concrete floor, cloth snapping softly on each turn. Dust drifts through the beams of light. A "
        "slow piano piece plays in the hall with a long echo, and ends as she comes to rest, breathing audibly. The "
        "camera is static."
    ),
    "retake": (
        "Style: cinematic-realistic. The scene goes on as before, in the same place and light. The person stops, "
        "turns to the camera, raises one hand and says in a friendly, firm voice, 'Wait. Let me show you something.' "
        "Cloth rustles with the gesture, and the sounds of the place continue below it without a break."
    ),
    "extend": (
        "Style: cinematic-realistic. The movement continues without a cut, in the same direction and at the same "
        "speed, with the same light. After a moment it slows down and comes to rest. The sounds of the place go on "
        "evenly; a dog barks twice in the distance, and a car passes and fades away."
    ),
    "inpaint": (
        "Style: cinematic-realistic. In the open part of the picture a wooden bench is standing, with a folded gray "
        "blanket and a white cup on it, in the same light and perspective as everything around it. Thin steam is "
        "rising from the cup. The rest of the scene goes on as it is."
    ),
    "outpaint": (
        "Style: cinematic-realistic. The scene continues to both sides of the picture: the same place, the same "
        "ground and sky, the same light and depth of field, with plants and walls that begin inside the picture "
        "going on outside it. Nothing new draws attention, and the camera moves as it does in the middle."
    ),
    "lipdub": (
        "The person looks into the camera and says in the same voice, evenly and without haste, 'Good morning, "
        "everyone. Thank you for coming. Today we begin with the good news.'"
    ),
    "upscale-refine": (
        "Style: cinematic-realistic. The same film, sharp and clean: fine texture in skin, hair, cloth and leaves, "
        "clear edges, natural colors and steady light, without noise and without blocks of compression."
    ),
    "refine-video-file": (
        "Style: cinematic-realistic, a film with fine, natural detail: pores and single hairs, the weave of cloth, "
        "the grain of wood and stone, leaves that are distinct one by one; clean edges and steady light."
    ),
    "temporal-upscale": (
        "Style: cinematic-realistic. The same film with smooth, continuous movement: limbs, cloth, water and leaves "
        "pass through every position in between, without stutter, doubled edges or sudden jumps."
    ),
    "hdr": "HDR footage",
    "prompt-enhancement": "A street musician plays the accordion in the rain.",
    # LTX-2.5.
    "ltx-2.5-text-to-video": (
        "A medium shot at eye level shows a market hall in the morning, daylight falling through a glass roof onto "
        "rows of stalls. A fishmonger, a broad-shouldered man of about sixty with a gray moustache, a blue cap and a "
        "wet rubber apron, is laying silver mackerel on crushed ice, and the ice crunches under each fish. The "
        "camera slowly dollies in along the counter, past crates of oysters and a brass scale. Behind him, porters "
        "roll a cart over the tiles with rattling wheels, and voices overlap in the hall. He weighs a fish in his "
        "hand, drops it on the scale, which clinks, wipes his palms on a striped cloth and looks up. His moustache "
        "lifts at the corners, and he says in a loud, rough, cheerful voice, 'Fresh from the boat this morning! Who "
        "wants the last one?' A woman with red gloves enters from the right edge and raises her hand; coins fall on "
        "the metal tray one after another. Then he folds the fish into paper, which rustles, ties it with a pull of "
        "string, and pushes the parcel across the counter, while a bell rings above the entrance and pigeons flutter "
        "up under the roof."
    ),
    "ltx-2.5-image-to-video": (
        "The shot opens exactly on the given picture, in the same framing, from the same viewpoint and in the same "
        "light, and stays one continuous take. First only small things are moving: hair and the edges of clothing "
        "stir in a light breeze, which is heard as a soft, uneven rush, and leaves rustle somewhere near. The camera "
        "is static for a moment, then it begins a slow push in at eye level. The person blinks, draws a breath and "
        "turns the face a little towards the lens; the eyes settle on it, the corners of the mouth rise. Fabric "
        "rustles as one hand comes up and brushes a strand of hair aside. In a quiet, clear voice the person says, "
        "'I almost did not recognize you.' A bicycle passes behind the camera from left to right, its freewheel "
        "ticking, and the person's gaze follows it and comes back. Then a cloud moves on, the light on the face "
        "becomes slightly brighter, a blackbird starts to sing high on the right, and the person nods once and "
        "lowers the eyes, still smiling, as the push in comes to rest in a close-up."
    ),
    "ltx-2.5-two-stage-distilled": (
        "A wide shot from a low angle shows a small railway station in the mountains in winter, snow on its roof and "
        "along the platform, blue light before sunrise, one lamp burning yellow above the door. The camera is static "
        "at first. A stationmaster, a thin woman of about forty in a dark coat with brass buttons and a red cap, "
        "steps out; the door creaks, and her boots squeak on the dry snow. She stops at the edge, lifts a lantern, "
        "and its handle clinks. Far off a locomotive whistles twice, and the rails begin to sing. The camera pans "
        "slowly to the right until a steam train comes out of the trees, its lamps glowing through white clouds, the "
        "beat of its engine growing to a heavy pounding. As it rolls in, steam sweeps across the platform and hides "
        "her to the waist. Brakes grind, couplings bang one after another along the cars, and the train stands still "
        "with a long hiss. She calls in a bright, carrying voice, 'All aboard for the valley! Two minutes!' A window "
        "slides down with a knock, a child in a green scarf leans out and waves, and snow slides from the roof with "
        "a muffled thud."
    ),
    "ltx-2.5-dfr": (
        "A close-up at eye level shows the hands of a watchmaker at a bench, in the light of a small lamp that "
        "leaves the workshop behind dark. The hands are those of an old man, with clean short nails and a thin steel "
        "ring; the sleeves of a white shirt are rolled up. Dozens of clocks tick at once, each at its own pace. The "
        "camera moves very slowly to the left, around an open pocket watch whose brass wheels and ruby bearings "
        "catch the light. He takes a screw with tweezers, which click on the glass of the bench, sets it, and turns "
        "it with a fine driver, three small scrapes of metal. He blows once over the movement, softly; then he winds "
        "the crown, and the ratchet purrs. The balance wheel shivers, swings and begins to beat, and a thin, fast "
        "tick stands out from the others. The old man leans into the picture from above, so that a loupe and the end "
        "of a white beard are seen, and says in a low, dry voice, 'There. Eighty years old, and it forgives "
        "everything.' He closes the engraved lid with a snap, and a wall clock begins to strike the hour."
    ),
}

SEGMENTS = (
    "Style: cinematic-realistic, a wide shot of a wooden rowing boat on a still lake at sunrise, mist on the water. "
    "An old man in a gray wool jacket is rowing towards the camera; the oars creak in their locks, and water drips "
    "from the blades. The camera is static.",
    "The old man lets the boat drift, pulls in the oars with a wooden clatter and pours tea from a flask into its "
    "lid. Steam rises. He says in a slow, gentle voice, 'No wind today. Good.' A loon calls across the lake.",
    "The sun comes over the trees and the mist turns gold and thins. The old man casts a fishing line, the reel "
    "whirring; the float lands with a small splash, and rings spread over the smooth water while birds begin to sing "
    "on the shore.",
)
"""One per window of `long-video`."""

SHOTS = (
    "A small kitchen in the morning, warm light from a window on the left, a woman of about forty with a blond braid "
    "and a blue apron.\n"
    "0-2s: A medium shot at eye level. She cracks an egg on the edge of a glass bowl, the shell cracks and the egg "
    "drops in. The camera is static.\n"
    "2-5s: A close-up of the bowl from a high angle. Her hand whisks the egg, the whisk beats quickly against the "
    "glass. She says in a cheerful voice, 'Breakfast in five minutes.'"
)
"""Of `several-shots` and its twin for LTX-2.5: what is said of all shots, then each with its time."""
