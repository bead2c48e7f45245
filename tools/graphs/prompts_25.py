"""What the graphs of LTX-2.5's official workflows are asked to show, by the name of the graph (see `prompts`).

Captions are written as LTX-2.5's enhancer writes them. The LoRAs' words are those of their cards (spec 08 sections 5
and 7): a trigger where there is one, two parts for a reference sheet, one sentence for a layout.
"""

from __future__ import annotations

CAPTIONS = {
    "ltx-2.5-single-stage-distilled": (
        "A medium shot at eye level shows a pottery studio on a rainy afternoon, gray light falling through a wide "
        "window onto shelves of unglazed bowls. A potter, a woman of about thirty with curly brown hair under a "
        "green scarf and clay up to her elbows, is bent over a turning wheel, whose motor hums. The camera is static "
        "at first, then it moves slowly closer along the edge of the table. Her thumbs press into a ball of wet clay, "
        "which opens with a soft sucking sound; water drips from her wrists into a tin basin. The walls of the bowl "
        "rise between her fingers, thinner with every turn, while rain patters on the glass behind her. She lifts one "
        "hand, takes a wooden rib from the table and lays it against the rim, and a thin curl of clay falls away. The "
        "wheel slows and stops with a click. She straightens her back, breathes out, tilts her head and says in a "
        "calm, husky voice, 'There you are. I knew you were in there.' A gray cat jumps onto the window sill with a "
        "soft thud, and drops run down the pane beside it."
    ),
    "ltx-2.5-image-to-video-distilled": (
        "The shot opens exactly on the given picture, in the same framing, from the same viewpoint at eye level and in "
        "the same light, and stays one continuous take. At first almost nothing is moving: loose hair, leaves and the "
        "edges of cloth stir, and a light wind is heard, with voices far away. The camera begins a slow arc to the "
        "right, so that what is near slides past what is far. The person in the picture shifts weight from one foot "
        "to the other, the ground crunches softly, and the eyes follow something that passes outside of the frame. A "
        "flock of pigeons takes off somewhere behind the camera, wings clapping, and its shadow runs over the ground "
        "from left to right. The person looks up after it, smiles with closed lips, then turns to the lens and says in "
        "a warm, unhurried voice, 'Every morning, at the same time.' One hand points in the direction of the birds, "
        "the sleeve rustling. A church bell starts to ring in the distance, three strokes. The arc comes to rest, the "
        "hand sinks, and the person stands quietly and listens while the last stroke fades into the wind."
    ),
    "ltx-2.5-first-last-frame": (
        "The given start image is the first frame and the given end image is the last frame, and between them the "
        "shot runs as one continuous take without a cut. It begins in the framing, the viewpoint and the light of the "
        "first picture; at eye level, the camera rests for a moment while small things move, and a soft wind and the "
        "quiet sounds of the place are heard. Then it sets off in a smooth, even movement towards the framing of the "
        "second picture. Whatever is in both pictures stays the same thing on the way: faces keep their features, "
        "clothes their colors, and each object travels along the shortest path to its new place. What is only in the "
        "first picture leaves over the nearest edge, what is only in the second comes in from there, with steps, the "
        "rustle of cloth and the brush of the air that belong to it. The light changes gradually, as if a cloud were "
        "passing, and shadows turn with it. In the last second the movement slows down without a jolt, everything "
        "settles into its place in the second picture, and a single bird calls as the wide shot comes to rest exactly "
        "on it."
    ),
    "ltx-2.5-audio-to-video": (
        "A close-up at eye level shows a singer on the small stage of a cellar club, one warm spotlight from above "
        "and dark red curtains behind. She is about forty, with short silver hair, dark lipstick and a black velvet "
        "jacket, and stands with her mouth close to an old chrome microphone. The camera is static at first. Her lips, "
        "jaw and throat follow every word and every held note that is heard; she closes her eyes on the long ones, "
        "opens them on the next line and lifts her eyebrows on the stressed syllables. In the pauses she breathes in, "
        "her shoulders rise a little, and her fingers tap the beat on the stand of the microphone. The camera slowly "
        "dollies in until her face fills the picture, and dust drifts through the beam above her. When the music "
        "swells she leans back and one hand opens towards the light; when it becomes quiet she comes near again and "
        "almost whispers. Behind her, out of focus, a bass player nods in time and strings glint. On the last sound "
        "she keeps still, looks straight into the lens, and lets the breath go with a slow smile."
    ),
    "ltx-2.5-union-control": (
        "A wide shot at eye level shows an old factory hall in the evening, low sunlight falling through tall, dusty "
        "windows onto a floor of worn concrete. Everything moves exactly as the outlines of the control video do, in "
        "the same places and at the same moments. Where they show a person, it is a dancer of about twenty-five with "
        "cropped red hair, in a loose white shirt and wide gray trousers, barefoot; each step brushes or slaps the "
        "floor, and cloth snaps softly on each turn. Where they show things, these are iron pillars, crates and coils "
        "of rope, with rust, splinters and fibers that are clearly seen. The camera keeps the movement of the control "
        "video and adds none of its own. Light and shadow change as the figure passes through the beams, and dust "
        "rises from the floor and hangs in the air, golden against the dark. Pigeons coo under the roof, a chain "
        "swings somewhere and ticks against a pillar, and the hall answers every sound with a long, soft echo. As the "
        "movement comes to its end the dancer's breathing is heard, fast at first, then calm."
    ),
    "ltx-2.5-slow-motion": (
        "A close-up from a low angle shows a black Labrador in shallow water at the edge of a lake, the sun low behind "
        "it, so that its wet fur has a bright rim. The dog stands with all four legs apart, muscles tense under the "
        "skin, head lowered. The camera is static. A shake begins at the nose: the loose lips swing to the left, then "
        "to the right, the ears rise and fold over the top of the head, and the first drops leave their tips. The "
        "twist runs along the neck, over the shoulders and down the back, each strand of fur throwing out a curved row "
        "of water, until the whole body is wrapped in turning spirals of drops that glow like glass. Some fly straight "
        "towards the lens and grow large before they pass it; others fall back and open small crowns on the surface "
        "of the lake, from which rings spread and cross each other. The shake reaches the tail, which flicks one last "
        "arc of spray against the dark trees on the other shore. Then the dog stands still, blinks twice, opens its "
        "mouth and lets its pink tongue hang out, and the last drops rain down around it."
    ),
}

WORDS = {
    "ltx-2.5-text-to-audio": (
        "A small harbor at night. Water slaps against wooden hulls, ropes creak, and halyards tick irregularly against "
        "metal masts. A diesel engine comes nearer from the left, slow and deep, and stops with two coughs. A rope is "
        "thrown and lands on the planks with a thump. Heavy boots climb a ladder, and a man with a deep, tired voice "
        "says, 'Nothing but crabs again.' A woman laughs, close and bright, and answers, 'Then it is soup.' A crate is "
        "dragged over the planks, and far out a buoy bell rings once with each wave."
    ),
    "ltx-2.5-video-to-video": (
        "Reference shows a street with people in black and white. Edited shows the same scene with natural colors "
        "restored. COLORIZE warm skin, brown and navy blue coats, a red tram, pale yellow houses, a light blue sky."
    ),
    "ltx-2.5-motion-tracks": (
        "The camera is static. What the drawn tracks hold moves along them, smoothly and at their speed, and stays "
        "where they stand still; the rest of the picture follows only as it must, cloth folding, grass bending, "
        "shadows keeping to their objects. A light wind and the soft sounds of this movement are heard."
    ),
    "ltx-2.5-inpaint": (
        "A wooden bench with peeling green paint is standing there, a folded gray blanket and a white cup on it, in "
        "the same light and perspective as everything around it. Thin steam is rising from the cup."
    ),
    "ltx-2.5-outpaint": (
        "The scene goes on to both sides: the same place, the same ground and sky, the same light and depth of field, "
        "with plants and walls that begin inside the picture continuing outside it."
    ),
    "ltx-2.5-ingredients": (
        "Reference sheet: on black, from left to right: a woman of about thirty with short black hair and a yellow "
        "raincoat, seen from the front and close; the same woman, full figure, turned to the side; a red vintage "
        "bicycle; a narrow street with wet cobblestones and lit shop windows (setting). Generated video: In the narrow "
        "street the woman in the yellow raincoat pushes the red bicycle towards the camera, its freewheel ticking. She "
        "stops, wipes rain from her face and says in a clear, amused voice, 'Of course it rains today.' Drops patter "
        "on the awnings."
    ),
    "ltx-2.5-layout-to-render": (
        "A detective in a gray trench coat walks through a rain-soaked alley at night, neon signs mirrored in the "
        "puddles, steam rising from a grate. Film grain, shallow depth of field, cold blue light with warm windows."
    ),
}
