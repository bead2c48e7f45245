/**
 * Refusals of this pack, where the front-end leaves something to say.
 *
 * ComfyUI tells the front-end of a refusal at queue time as an exception, once and with its sentence, but names no
 * input, or that of the next node. The sentence names it; here it is written where the front-end looks for it, so that
 * the input is marked. A refusal in the middle of a run shows in the newer front-ends as "threw an error" alone; a
 * toast says its sentence. Where the node is inside a box, the box is marked too, with its input if it shows that one.
 */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { nodeOf, nodesTo } from "./levels.js";

const OURS = "ltx2.";
const LOOK_EVERY_MS = 50;
const TOAST_MS = 30000;

/** The input of a node that a sentence is about: the first one it names, else the one whose value it repeats. */
export function namedInput(sentence, inputs) {
  const text = sentence.toLowerCase();
  let best = null;
  for (const { name } of inputs) {
    for (const words of new Set([name.toLowerCase(), name.toLowerCase().replaceAll("_", " ")])) {
      const at = indexOfWord(text, words);
      if (at < 0) continue;
      if (!best || at < best.at || (at === best.at && words.length > best.length)) {
        best = { name, at, length: words.length };
      }
    }
  }
  if (best) return best.name;
  const repeated = inputs.find(({ value }) => typeof value === "string" && value.length > 3 && sentence.includes(value));
  return repeated?.name ?? null;
}

function indexOfWord(text, word) {
  const part = (character) => character !== undefined && /[\p{L}\p{N}_]/u.test(character);
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (!part(text[at - 1]) && !part(text[at + word.length])) return at;
  }
  return -1;
}

function inputsOf(node) {
  const widgets = new Map((node.widgets ?? []).map((widget) => [widget.name, widget.value]));
  const names = new Set([...(node.inputs ?? []).map((input) => input.name), ...widgets.keys()]);
  return [...names].map((name) => ({ name, value: widgets.get(name) }));
}

const marked = new Set();
const framed = new Set();

/** Marks an input, and every box around its node: the box's own input where that one feeds it. */
function mark(executionId, name) {
  const way = nodesTo(executionId).reverse();
  let slot = way[0].inputs?.find((input) => input.name === name);
  for (const [level, node] of way.entries()) {
    if (slot) {
      slot.hasErrors = true;
      marked.add(slot);
    }
    if (level > 0 && !node.has_errors) {
      node.has_errors = true;
      framed.add(node);
    }
    const box = way[level + 1];
    slot = box && feeding(box, node.graph, slot);
    node.setDirtyCanvas?.(true, true);
  }
}

/** The input of a box that a slot inside takes its value from, if any. */
function feeding(box, graph, slot) {
  const id = slot?.link ?? null;
  if (id === null) return null;
  const link = graph.getLink?.(id) ?? graph.links?.get?.(id);
  return link && link.origin_id === graph.inputNode?.id ? box.inputs[link.origin_slot] : null;
}

function unmark() {
  for (const slot of marked) slot.hasErrors = false;
  for (const box of framed) box.has_errors = false;
  marked.clear();
  framed.clear();
}

/** Names the wrong input in the errors of a refused prompt, in place. */
function nameInputs(nodeErrors) {
  for (const [id, { errors }] of Object.entries(nodeErrors ?? {})) {
    const node = nodeOf(id);
    if (!node) continue;
    for (const error of errors) {
      if (!error.extra_info?.exception_type?.startsWith(OURS)) continue;
      const name = namedInput(error.details, inputsOf(node));
      if (!name) continue;
      error.type = "exception_during_inner_validation";
      error.extra_info.input_name = name;
      mark(id, name);
    }
  }
}

/** Newer front-ends say when a queueing begins; a refused one has no event at its end. */
function afterQueueing() {
  unmark();
  const timer = setInterval(() => {
    if (app.processingQueue) return;
    clearInterval(timer);
    nameInputs(app.lastNodeErrors);
  }, LOOK_EVERY_MS);
}

/** Newer front-ends show errors in a tab, and a toast without the sentence; the older dialog has it. */
function hasErrorsTab() {
  return app.extensionManager?.setting?.get?.("Comfy.RightSidePanel.ShowErrorsTab") === true;
}

function sayError({ detail }) {
  if (!detail?.exception_type?.startsWith(OURS)) return;
  const node = nodeOf(detail.node_id);
  const sentence = detail.exception_message.trim();
  const name = node && namedInput(sentence, inputsOf(node));
  if (name) setTimeout(() => mark(detail.node_id, name), LOOK_EVERY_MS);
  if (!hasErrorsTab()) return;
  const summary = node?.title ?? detail.node_type;
  app.extensionManager?.toast?.add?.({ severity: "error", summary, detail: sentence, life: TOAST_MS });
}

app.registerExtension({
  name: "LTX2.Refusals",
  setup() {
    api.addEventListener("promptQueueing", afterQueueing);
    // Older front-ends say it at the end of every queueing, refused or not.
    api.addEventListener("promptQueued", () => nameInputs(app.lastNodeErrors));
    api.addEventListener("execution_error", sayError);
  },
});
