/**
 * What a node of this pack is doing, above the node: the phase by its name, how far it is, and the time left. And the
 * live preview as a moving picture: the server sends a few frames of the latent with each step, which are shown in turn
 * through the front-end's own previews.
 */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const FRAMES_PER_SECOND = 8;
const LONGEST_SIDE = 384;
const TITLE_HEIGHT = 30;

let phase = null;
let motion = null;

/** "Sampling: step 3 of 8, 12 s left" */
export function phaseText({ phase: name, unit, done, total, seconds_left: left }) {
  const many = total > 999 ? `${Math.round((100 * done) / total)} %` : `${unit} ${done} of ${total}`;
  return `${name}: ${many}${left >= 1 ? `, ${timeText(left)} left` : ""}`;
}

export function timeText(seconds) {
  const whole = Math.round(seconds);
  return whole < 90 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

function draw(node, context) {
  if (phase === null || String(node.id) !== String(phase.node).split(":").at(-1) || node.flags?.collapsed) return;
  context.save();
  context.font = "12px sans-serif";
  context.fillStyle = "#9fd49f";
  context.textAlign = "left";
  context.fillText(phaseText(phase), 2, -TITLE_HEIGHT - 6);
  context.restore();
}

function stopMotion() {
  clearInterval(motion);
  motion = null;
}

async function picturesOf({ frames, strip }) {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${strip}`)).blob());
  const height = image.height / frames;
  const scale = LONGEST_SIDE / Math.max(image.width, height);
  const canvas = new OffscreenCanvas(Math.round(image.width * scale), Math.round(height * scale));
  const context = canvas.getContext("2d");
  const pictures = [];
  for (let frame = 0; frame < frames; frame++) {
    context.drawImage(image, 0, frame * height, image.width, height, 0, 0, canvas.width, canvas.height);
    pictures.push(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 }));
  }
  return pictures;
}

/** Shows the pictures in turn until the next ones come or the node ends. */
async function play({ detail }) {
  const { node, prompt_id: promptId } = detail;
  const pictures = await picturesOf(detail);
  if (phase === null || phase.node !== node) return;
  stopMotion();
  let shown = 0;
  motion = setInterval(() => {
    const blob = pictures[shown++ % pictures.length];
    const ids = { nodeId: node, displayNodeId: node, realNodeId: node, parentNodeId: node };
    api.dispatchCustomEvent("b_preview_with_metadata", { blob, promptId, jobId: promptId, ...ids });
  }, 1000 / FRAMES_PER_SECOND);
}

function end() {
  phase = null;
  stopMotion();
  app.canvas?.setDirty?.(true, true);
}

app.registerExtension({
  name: "LTX2.Progress",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("LTX2")) return;
    const before = nodeType.prototype.onDrawForeground;
    nodeType.prototype.onDrawForeground = function (context, ...more) {
      const result = before?.call(this, context, ...more);
      draw(this, context);
      return result;
    };
  },
  setup() {
    api.addEventListener("ltx2.phase", ({ detail }) => {
      if (phase?.node !== detail.node) stopMotion();
      phase = detail;
      app.canvas?.setDirty?.(true, false);
    });
    api.addEventListener("ltx2.motion", play);
    for (const name of ["executing", "execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(name, end);
    }
  },
});
