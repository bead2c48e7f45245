// Wires and sockets in the colours of what they carry, so that a wire can be followed through a graph.
// The front-end has colours for its own types and draws all others in grey.

import { app } from "../../../scripts/app.js";

const COLOURS = {
  LTX2_MODEL: "#B39DDB",
  LTX2_TEXT_ENCODER: "#FFD500",
  LTX2_TEXT_PROJECTION: "#C9A227",
  LTX2_CONTEXT: "#FFA931",
  LTX2_SEGMENTS: "#FF8A50",
  LTX2_VIDEO_VAE: "#FF6E6E",
  LTX2_AUDIO_VAE: "#E884B8",
  LTX2_VOCODER: "#8D9EFF",
  LTX2_MEL: "#B2EBF2",
  LTX2_UPSCALER: "#A1C45A",
  LTX2_GUIDANCE: "#4DD0A5",
  LTX2_GUIDER: "#66FFFF",
  LTX2_GUIDES: "#6EE7B7",
  LTX2_PERTURBATION: "#BCAAA4",
  LTX2_WINDOWS: "#D4E157",
  LTX2_CORRECTIONS: "#D7A98C",
};

function paint() {
  const byType = app.canvas?.default_connection_color_byType;
  const ofLinks = app.canvas?.constructor.link_type_colors;
  for (const [type, colour] of Object.entries(COLOURS)) {
    if (byType) byType[type] = colour;
    if (ofLinks) ofLinks[type] = colour;
    document.documentElement.style.setProperty(`--color-datatype-${type}`, colour); // Nodes 2.0
  }
  app.canvas?.setDirty(true, true);
}

app.registerExtension({
  name: "ltx2.linkColours",
  setup() {
    paint();
    // Another palette blanks the types that it does not know, after this event.
    app.ui?.settings?.addEventListener?.("Comfy.ColorPalette.change", () => setTimeout(paint, 500));
  },
  afterConfigureGraph: paint, // the first palette may come later than setup
});
