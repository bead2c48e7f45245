/**
 * What a node of this pack is doing, above the node: the phase by its name, how far it is, and the time left. And the
 * live preview as a moving picture: the server sends a few frames of the latent with each step, which are shown in turn
 * through the front-end's own previews.
 */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const FRAMES_PER_SECOND = 8;
const TITLE_HEIGHT = 30;

let phase = null;
let motion = null;
let moving = [];

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
  moving = [];
}

function pictureOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0))], { type: "image/jpeg" });
}

/** Shows the pictures in turn until the node ends; those of the next step go on where these are. */
function play({ detail }) {
  const { node, prompt_id: promptId } = detail;
  if (phase === null || phase.node !== node) return;
  moving = detail.frames.map(pictureOf);
  let shown = 0;
  motion ??= setInterval(() => {
    const blob = moving[shown++ % moving.length];
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
