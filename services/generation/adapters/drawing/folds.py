"""A scene without a place: folds of silk."""

import math

from services.generation.adapters.drawing.canvas import Canvas
from services.generation.adapters.drawing.colour import mix
from services.generation.adapters.drawing.lines import line, waves
from services.generation.adapters.drawing.surfaces import glow, vertical


def silk(canvas: Canvas) -> None:
    """Translucent ribbons that cross the picture in long waves."""
    rnd, palette = canvas.rnd, canvas.palette
    ground = vertical((palette.sky[0], palette.sky[1], palette.sky[2]), 96).resize((96, 96))
    glow(ground, (rnd.uniform(0.2, 0.8), 0.25), (0.7, 0.7), palette.light, 0.5)
    canvas.backdrop(ground)
    count = 6
    phase = rnd.uniform(0, 6.28)
    swing = canvas.height * 0.14
    for index in range(count):
        depth = index / (count - 1)
        middle = canvas.height * (0.2 + 0.66 * depth)
        curve = waves(rnd, 2, rnd.uniform(0.45, 0.7), 0.4)
        upper = [
            (x, y + swing * 0.5 * math.sin(phase + 4 * x / canvas.width + 2 * depth))
            for x, y in line(canvas.width, 64, middle, swing, curve)
        ]
        breadth = canvas.height * rnd.uniform(0.16, 0.34)
        twist = waves(rnd, 2, 0.6)
        lower = [(x, y + breadth * (0.45 + 0.4 * twist(x / canvas.width))) for x, y in upper]
        first = palette.sky[min(4, 1 + int(depth * 3.99))]
        fill = vertical((mix(first, palette.light, 0.4), first, mix(first, palette.near, 0.12)), 64)
        canvas.shape([*upper, *reversed(lower)], fill, 0.62, (1, 2))


SCENES = (silk,)
