"""The first view of a graph: its boxes in columns, from left to right, that a window of 1600 x 900 shows readably.

The front-end fits a template to the window with a quarter of it to spare, and in the classic rendering draws no text
below 8/14 of the full size (its setting LiteGraph.Canvas.MinFontSizeForLOD, 8, over the 14 of a node's text).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tools.graphs import layout
from tools.graphs.graph import Graph, Output, input_slots
from tools.graphs.layout import Box
from tools.graphs.steps import FILE, GENERATE, MODEL, PROMPT, RESULT, SIZE, Step, shown_widgets, steps

READABLE = 8 / 14
WINDOW = (1600, 900)
SPARE = 0.75
MARGIN = 60
"""What the front-end leaves around the boxes, and what the menus take of the window, in pixels of a graph."""
WIDTH, HEIGHT = (int(side * SPARE / READABLE) - MARGIN for side in WINDOW)
NOTE_LINE, NOTE_FRAME, NOTE_CHARACTERS = 20, 60, 58
FILES = "**Files**"
IN_COLUMN = (PROMPT, SIZE, GENERATE, FILE, RESULT)


@dataclass(frozen=True)
class Widths:
    """Widths of boxes by what they are there for."""

    model: int
    prompt: int
    step: int
    file: int
    result: int

    def of(self, step: Step) -> int:
        by_role = {MODEL: self.model, PROMPT: self.prompt, FILE: self.file, RESULT: self.result}
        return by_role.get(step.role, self.step)


WIDTHS = Widths(400, 380, 330, 300, 440), Widths(340, 310, 270, 240, 340), Widths(330, 300, 260, 230, 320)


@dataclass
class View:
    """Boxes by the title of a step, and those of the notes."""

    steps: list[Step]
    boxes: dict[str, Box]
    notes: list[Box]

    @property
    def size(self) -> tuple[int, int]:
        boxes = [*self.boxes.values(), *self.notes]
        return max(x + width for (x, _), (width, _) in boxes), max(y + height for (_, y), (_, height) in boxes)

    @property
    def fits(self) -> bool:
        return self.size[0] <= WIDTH and self.size[1] <= HEIGHT


def fitting_view(graph: Graph, object_info: dict[str, Any]) -> View:
    """The roomiest view that fits the window: wide boxes, else narrower ones, else one box for all stages.

    Where none fits, the list of files at the end of the note is scrolled.
    """
    views = [
        _view(graph, object_info, steps(graph, object_info, stages), widths, whole_note)
        for whole_note in (True, False)
        for stages in (True, False)
        for widths in WIDTHS
    ]
    return next((view for view in views if view.fits), views[-1])


def _view(graph: Graph, object_info: dict[str, Any], found: list[Step], widths: Widths, whole_note: bool) -> View:
    home = {node: step for step in found for node in step.nodes}
    by_title = {step.title: step for step in found}
    heights = {step.title: _height(graph, object_info, step) for step in found}

    def sources(title: str) -> list[str]:
        nodes = by_title[title].nodes
        steps_ = (home[source] for node in nodes for source in node.sources)
        return [step.title for step in steps_ if step.title != title and step.role != MODEL]

    rest = sorted((step for step in found if step.role != MODEL), key=lambda step: IN_COLUMN.index(step.role))
    columns = layout.columns([step.title for step in rest], sources, heights.__getitem__, HEIGHT)
    width = {title: max(widths.of(by_title[one]) for one in column) for column in columns for title in column}

    models = [step.title for step in found if step.role == MODEL]
    notes: list[Box] = []
    y = layout.TITLE
    room = HEIGHT - sum(layout.TITLE + heights[title] + layout.GAP for title in models) - layout.TITLE
    for _, markdown in graph.notes:
        height = note_height(markdown, widths.model)
        if not whole_note:
            height = min(height, max(room, note_height(before_files(markdown), widths.model)))
        notes.append(([0, y], [widths.model, height]))
        y += height + layout.GAP + layout.TITLE
    boxes: dict[str, Box] = {}
    x = 0
    if y + sum(heights[title] + layout.GAP + layout.TITLE for title in models) - layout.GAP - layout.TITLE > HEIGHT:
        x, y = widths.model + layout.COLUMN_GAP, layout.TITLE  # beside the notes, not below them
    for title in models:
        boxes[title] = ([x, y], [widths.model, heights[title]])
        y += heights[title] + layout.GAP + layout.TITLE
    left = x + widths.model + layout.COLUMN_GAP if notes or models else 0
    boxes |= layout.place(columns, lambda title: (width[title], heights[title]), left)
    return View(found, boxes, notes)


def _height(graph: Graph, object_info: dict[str, Any], step: Step) -> int:
    if not step.is_subgraph:
        [node] = step.nodes
        return layout.node_height(node, object_info[node.type])
    inside = set(step.nodes)
    taken = {out for node in inside for out in _outputs(node) if out.node not in inside}
    given = {out for node in graph.nodes if node not in inside for out in _outputs(node) if out.node in inside}
    shown = [slot for node in inside for slot in shown_widgets(graph, node, input_slots(object_info[node.type]))]
    return layout.subgraph_height(len(taken), len(given), shown, step.nodes)


def _outputs(node: Any) -> list[Output]:
    return [value for value in node.inputs.values() if isinstance(value, Output)]


def before_files(markdown: str) -> str:
    """A note without the list of files at its end."""
    return markdown.partition(FILES)[0]


def note_height(markdown: str, width: int) -> int:
    """The height of a note whose text is seen without scrolling; long lines are wrapped."""
    characters = NOTE_CHARACTERS * width // 380
    lines = sum(1 + len(line) // characters for line in markdown.strip().splitlines())
    return NOTE_FRAME + NOTE_LINE * lines
