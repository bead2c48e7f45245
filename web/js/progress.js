/**
 * What a node of this pack is doing, above the node: the phase by its name, how far it is, and the time left. And the
 * live preview as a moving picture: the server sends a few frames of the latent with each step, which are shown in turn
 * through the front-end's own previews. A node inside a box shows both on the box, where a person looks.
 *
 * The text is an element of its own over the canvas: Nodes 2.0 calls no drawing function of a node.
 */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { shownNode } from "./levels.js";

const FRAMES_PER_SECOND = 8;
const TITLE_HEIGHT = 30;
const STYLE = {
  position: "absolute",
  left: 0,
  top: 0,
  transformOrigin: "0 0",
  font: "12px sans-serif",
  color: "#9fd49f",
  whiteSpace: "nowrap",
  pointerEvents: "none",
};

let phase = null;
let label = null;
let frame = null;
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

/** The text stands above its node for as long as the phase lasts, wherever the graph is moved. */
function follow() {
  const node = phase && shownNode(phase.node);
  if (node) place(node);
  else label?.remove();
  frame = phase && requestAnimationFrame(follow);
}

function place(node) {
  const { canvas, ds } = app.canvas;
  if (!label) {
    label = document.createElement("div");
    label.className = "ltx2-phase";
    Object.assign(label.style, STYLE);
  }
  if (!label.isConnected) canvas.parentElement.append(label);
  const [x, y] = [node.pos[0] + ds.offset[0], node.pos[1] - TITLE_HEIGHT - 4 + ds.offset[1]];
  const transform = `translate(${x * ds.scale}px, ${y * ds.scale}px) scale(${ds.scale}) translateY(-100%)`;
  if (label.style.transform !== transform) label.style.transform = transform;
  const text = phaseText(phase);
  if (label.textContent !== text) label.textContent = text;
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
}

app.registerExtension({
  name: "LTX2.Progress",
  setup() {
    api.addEventListener("ltx2.phase", ({ detail }) => {
      if (phase?.node !== detail.node) stopMotion();
      phase = detail;
      frame ??= requestAnimationFrame(follow);
    });
    api.addEventListener("ltx2.motion", play);
    for (const name of ["executing", "execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(name, end);
    }
  },
});
