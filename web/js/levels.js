// Where a node stands that the server names "19:7:5": in boxes (subgraphs) inside each other, of which a person sees
// one level at a time.

import { app } from "../../../scripts/app.js";

/** The nodes on the way to the one of this id, from the outermost box to the node itself; as far as they are there. */
export function nodesTo(executionId) {
  const found = [];
  let graph = app.rootGraph ?? app.graph;
  for (const id of String(executionId).split(":")) {
    const node = graph?.getNodeById?.(Number.isNaN(Number(id)) ? id : Number(id));
    if (!node) break;
    found.push(node);
    graph = node.subgraph;
  }
  return found;
}

/** The node itself; none where a part of the way is gone. */
export function nodeOf(executionId) {
  const found = nodesTo(executionId);
  return found.length === String(executionId).split(":").length ? found.at(-1) : null;
}

/** What stands for this node in the graph on the screen: the node, or the box that it is in. */
export function shownNode(executionId) {
  const graph = app.canvas?.graph ?? app.graph;
  return nodesTo(executionId).find((node) => node.graph === graph) ?? null;
}
