"""Plain line plots and sheets of frames with labels, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 460, 300
LEFT, TOP, BOTTOM, RIGHT = 52, 26, 34, 12
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f", "#bcbd22", "#e377c2")
LABEL = 132
"""Width in pixels of the names beside a sheet."""


@dataclass(frozen=True)
class Plot:
    """Curves over the same x."""

    title: str
    x: Sequence[float]
    x_name: str
    curves: Mapping[str, Sequence[float]]


def draw_plots(plots: Sequence[Plot], columns: int = 2) -> np.ndarray:
    """(H, W, 3) uint8: plots in a grid, the names of the curves below; a name has the same colour everywhere."""
    names = list(dict.fromkeys(name for plot in plots for name in plot.curves))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    rows, legend_rows = -(-len(plots) // columns), -(-len(names) // 3)
    image = Image.new("RGB", (columns * WIDTH, rows * HEIGHT + 20 * legend_rows + 8), "white")
    pen = ImageDraw.Draw(image)
    for place, plot in enumerate(plots):
        _draw(pen, plot, (place % columns * WIDTH, place // columns * HEIGHT), colours)
    for place, name in enumerate(names):
        x, y = LEFT + place % 3 * ((image.width - LEFT) // 3), rows * HEIGHT + 20 * (place // 3) + 10
        pen.line((x, y, x + 24, y), colours[name], 3)
        pen.text((x + 30, y), name, "black", _font(12), "lm")
    return np.asarray(image)


def _draw(pen: ImageDraw.ImageDraw, plot: Plot, corner: tuple[int, int], colours: Mapping[str, str]) -> None:
    left, top = corner[0] + LEFT, corner[1] + TOP
    right, bottom = corner[0] + WIDTH - RIGHT, corner[1] + HEIGHT - BOTTOM
    values = np.concatenate([np.asarray(curve, float) for curve in plot.curves.values()])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    low, high = low - room, high + room
    start, width = plot.x[0], (plot.x[-1] - plot.x[0]) or 1
    pen.text((corner[0] + WIDTH / 2, corner[1] + 12), plot.title, "black", _font(13), "mm")
    pen.text(((left + right) / 2, bottom + 26), plot.x_name, "black", _font(12), "mm")
    for tick in _ticks(low, high):
        y = bottom - (tick - low) / (high - low) * (bottom - top)
        pen.line((left, y, right, y), "#dddddd")
        pen.text((left - 6, y), f"{tick:g}", "black", _font(11), "rm")
    for tick in plot.x:
        pen.text((left + (tick - start) / width * (right - left), bottom + 10), f"{tick:g}", "black", _font(11), "mm")
    pen.rectangle((left, top, right, bottom), outline="black")
    for name, curve in plot.curves.items():
        points = [
            (left + (x - start) / width * (right - left), bottom - (y - low) / (high - low) * (bottom - top))
            for x, y in zip(plot.x, curve)
            if np.isfinite(y)
        ]
        pen.line(points, colours[name], 2)
        for x, y in points:
            pen.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), colours[name])


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, about five."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough)) * power)
    return [float(round(n * step, 10)) for n in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def draw_sheet(videos: Mapping[str, np.ndarray], frames: Sequence[int], captions: Sequence[str]) -> np.ndarray:
    """(H, W, 3) uint8: a row a video (F, H, W, 3) with its name, a column a frame with its caption."""
    height, width = next(iter(videos.values())).shape[1:3]
    head = 18
    image = Image.new("RGB", (LABEL + len(frames) * (width + 2), head + len(videos) * (height + 2)), "white")
    pen = ImageDraw.Draw(image)
    for column, caption in enumerate(captions):
        pen.text((LABEL + column * (width + 2) + width / 2, head / 2), caption, "black", _font(11), "mm")
    for row, (name, video) in enumerate(videos.items()):
        y = head + row * (height + 2)
        pen.text((4, y + height / 2), name, "black", _font(12), "lm")
        for column, frame in enumerate(frames):
            image.paste(Image.fromarray(video[frame]), (LABEL + column * (width + 2), y))
    return np.asarray(image)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
