"""Drawing a plan: busy backgrounds, grey distractors, and events that a single frame gives away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from data_preparing.shapes.world import Action, Colour, Event, Plan, Shape

RGB: dict[Colour, tuple[int, int, int]] = {
    Colour.RED: (235, 20, 30),
    Colour.ORANGE: (255, 135, 0),
    Colour.YELLOW: (250, 240, 40),
    Colour.GREEN: (20, 190, 40),
    Colour.CYAN: (30, 235, 240),
    Colour.BLUE: (30, 60, 250),
    Colour.PURPLE: (200, 40, 235),
    Colour.WHITE: (252, 252, 252),
}
SUPERSAMPLING = 4
ANGLE_STEPS = 24
"""Different rotations of a spinning shape; masks are cached for each."""


@dataclass(frozen=True)
class Layer:
    """A mask [h, w] in [0, 1], where its centre goes (pixels from the centre of the action) and its opacity."""

    mask: np.ndarray
    x: float
    y: float
    opacity: float


@dataclass(frozen=True)
class Actor:
    """How one event looks in this video: its place and size in pixels, colour, tilt and phase."""

    event: Event
    x: float
    y: float
    radius: float
    rgb: np.ndarray
    tilt: float
    phase: float


@dataclass(frozen=True)
class Distractor:
    """A small grey thing on a slow path: `centre + swing * sin(speed * t + phase)`, all in pixels and seconds."""

    mask: np.ndarray
    rgb: np.ndarray
    centre: np.ndarray
    swing: np.ndarray
    speed: np.ndarray
    phase: np.ndarray


def render(plan: Plan, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frames of a plan, uint8 [H, W, 3], in order."""
    margin = round(0.2 * min(plan.width, plan.height))
    canvas = draw_background(plan.height + 2 * margin, plan.width + 2 * margin, rng)
    drift_speed, drift_phase = rng.uniform(0.02, 0.12, 2), rng.uniform(0, 2 * np.pi, 2)
    distractors = [draw_distractor(plan, rng) for _ in range(rng.integers(3, 7))]
    actors = [cast(event, plan, rng) for event in plan.events]
    for index in range(plan.num_frames):
        seconds = float(index / plan.fps)
        top, left = np.round(margin * (1 + np.sin(drift_speed * seconds + drift_phase))).astype(int)
        frame = canvas[top : top + plan.height, left : left + plan.width].copy()
        for thing in distractors:
            x, y = thing.centre + thing.swing * np.sin(thing.speed * seconds + thing.phase)
            blend(frame, thing.mask, thing.rgb, x, y, 0.8)
        for actor in actors:
            # Spans are multiples of the frame time; the slack is for rounding alone.
            if actor.event.span.start - 1e-6 <= seconds < actor.event.span.end - 1e-6:
                for layer in pose(actor, seconds - actor.event.span.start):
                    blend(frame, layer.mask, actor.rgb, actor.x + layer.x, actor.y + layer.y, layer.opacity)
        yield frame


def blend(frame: np.ndarray, mask: np.ndarray, rgb: np.ndarray, x: float, y: float, opacity: float) -> None:
    """Paints `rgb` through `mask`, centred on pixel (x, y), into `frame`; what lies outside is cut off."""
    height, width = mask.shape
    top, left = round(y - height / 2), round(x - width / 2)
    first_row, first_column = max(0, -top), max(0, -left)
    last_row, last_column = min(height, frame.shape[0] - top), min(width, frame.shape[1] - left)
    if first_row >= last_row or first_column >= last_column:
        return
    part = frame[top + first_row : top + last_row, left + first_column : left + last_column]
    alpha = mask[first_row:last_row, first_column:last_column, None] * opacity
    part[:] = (part + (rgb - part) * alpha + 0.5).astype(np.uint8)


def cast(event: Event, plan: Plan, rng: np.random.Generator) -> Actor:
    """Draws place, size and look of an event; all of the action fits into the central square of the frame."""
    side = min(plan.width, plan.height)
    radius = rng.uniform(0.145, 0.175) * side
    room_x, room_y = {
        Action.MOVES_LEFT: (0.02, 0.25),
        Action.MOVES_RIGHT: (0.02, 0.25),
        Action.JUMPS: (0.25, 0.03),
        Action.SPINS: (0.2, 0.2),
        Action.GROWS: (0.14, 0.14),
        Action.SPLITS: (0.14, 0.14),
    }[event.what.action]
    x = plan.width / 2 + rng.uniform(-room_x, room_x) * side
    y = plan.height / 2 + rng.uniform(-room_y, room_y) * side
    rgb = np.clip(np.array(RGB[event.what.colour]) + rng.uniform(-12, 12, 3), 0, 255).astype(np.float32)
    return Actor(event, x, y, radius, rgb, rng.uniform(-12, 12), rng.uniform())


def pose(actor: Actor, seconds: float) -> list[Layer]:
    """What is drawn of an event `seconds` after its start, back to front.

    Afterimages, arcs and echoes make a single frame tell the action: a wide window shows one frame of a short event.
    """
    shape, radius = actor.event.what.shape, actor.radius
    body = shape_mask(shape, radius, actor.tilt)
    length = actor.event.span.duration
    match actor.event.what.action:
        case Action.MOVES_LEFT:
            return _moving(body, -1.0, radius, _repeat(seconds, length, 4.0))
        case Action.MOVES_RIGHT:
            return _moving(body, 1.0, radius, _repeat(seconds, length, 4.0))
        case Action.JUMPS:
            return _jumping(body, radius, abs(np.sin(np.pi * (seconds / 1.3 + actor.phase))))
        case Action.SPINS:
            angle = 360.0 * (seconds / 2.0 + actor.phase)
            arcs = arcs_mask(radius, angle)
            return [Layer(arcs, 0, 0, 0.9), Layer(shape_mask(shape, radius, angle), 0, 0, 1)]
        case Action.GROWS:
            scale = 0.7 + 0.4 * _repeat(seconds, length, 3.0)
            echoes = [(2.2, 0.3), (1.6, 0.35), (1.0, 1.0)]
            return [Layer(shape_mask(shape, radius * scale * k, actor.tilt), 0, 0, a) for k, a in echoes]
        case Action.SPLITS:
            apart = radius * (0.75 + 0.45 * _repeat(seconds, length, 3.0))
            half = shape_mask(shape, radius * 0.85, actor.tilt)
            return [Layer(body, 0, 0, 0.3), Layer(half, -apart, -apart, 1), Layer(half, apart, apart, 1)]


def _repeat(seconds: float, length: float, period: float) -> float:
    """Progress in [0, 1) of a motion that repeats a whole number of times, about once a `period`."""
    return seconds / length * max(1, round(length / period)) % 1.0


def _moving(body: np.ndarray, direction: float, radius: float, progress: float) -> list[Layer]:
    front = radius * (-0.1 + 2.1 * progress)
    trail = [(3, 0.16), (2, 0.28), (1, 0.45), (0, 1.0)]
    return [Layer(body, direction * (front - k * 1.05 * radius), 0, opacity) for k, opacity in trail]


def _jumping(body: np.ndarray, radius: float, height: float) -> list[Layer]:
    ground, top = 1.45 * radius, -1.75 * radius
    bar = np.ones((max(2, round(radius * 0.28)), round(radius * 3.2)), np.float32)
    places = [ground + (top - ground) * k for k in (0.0, 0.33, 0.67, 1.0)]
    column = [Layer(body, 0, y, 0.25) for y in places]
    now = Layer(body, 0, ground + (top - ground) * height, 1)
    return [Layer(bar, 0, ground + 1.2 * radius, 0.9), *column, now]


@lru_cache(maxsize=2048)
def shape_mask(shape: Shape, radius: float, angle: float) -> np.ndarray:
    """The anti-aliased shape, float32 [side, side], turned by about `angle` degrees."""
    step = 360 / ANGLE_STEPS
    return _shape_mask(shape, round(radius * 2) / 2, round(angle / step) % ANGLE_STEPS * step)


@lru_cache(maxsize=2048)
def _shape_mask(shape: Shape, radius: float, angle: float) -> np.ndarray:
    outline = _outline(shape)
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return _polygon_mask(outline @ rotation.T * radius, radius)


def _polygon_mask(points: np.ndarray, radius: float) -> np.ndarray:
    side = 2 * int(np.ceil(radius * 1.2)) + 2
    image = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING))
    corners = (points + side / 2) * SUPERSAMPLING
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in corners], fill=255)
    return _shrink(image, side)


def _shrink(image: Image.Image, side: int) -> np.ndarray:
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float32) / 255


def _outline(shape: Shape) -> np.ndarray:
    """Corners [N, 2] of a shape of radius about 1, y downwards; sizes chosen so that all look equally large."""
    around = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    match shape:
        case Shape.CIRCLE:
            return np.stack([np.cos(around), np.sin(around)], axis=1) * 0.95
        case Shape.SQUARE:
            return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.86
        case Shape.TRIANGLE:
            return np.array([[0, -1.1], [1.08, 0.85], [-1.08, 0.85]])
        case Shape.STAR:
            spokes = np.arange(10) * np.pi / 5 - np.pi / 2
            lengths = np.where(np.arange(10) % 2 == 0, 1.18, 0.48)
            return np.stack([np.cos(spokes), np.sin(spokes)], axis=1) * lengths[:, None]
        case Shape.CROSS:
            arm, tip = 0.33, 1.05
            quarter = [[arm, -tip], [arm, -arm], [tip, -arm]]
            return np.array([turned for k in range(4) for turned in np.array(quarter) @ _quarter_turns(k).T])
        case Shape.HEART:
            x = 16 * np.sin(around) ** 3
            y = -(13 * np.cos(around) - 5 * np.cos(2 * around) - 2 * np.cos(3 * around) - np.cos(4 * around))
            return np.stack([x, y], axis=1) / 15.5


def _quarter_turns(count: int) -> np.ndarray:
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][count]
    return np.array([[cosine, -sine], [sine, cosine]])


def arcs_mask(radius: float, angle: float) -> np.ndarray:
    """Two arcs around a spinning shape, float32 [side, side]."""
    step = 360 / ANGLE_STEPS
    return _arcs_mask(round(radius * 2) / 2, round(angle / step) % ANGLE_STEPS * step)


@lru_cache(maxsize=1024)
def _arcs_mask(radius: float, angle: float) -> np.ndarray:
    reach = radius * 1.75
    side = 2 * int(np.ceil(reach)) + 4
    image = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING))
    low, high = (side / 2 - reach) * SUPERSAMPLING, (side / 2 + reach) * SUPERSAMPLING
    width = round(radius * 0.3 * SUPERSAMPLING)
    for start in (angle, angle + 180):
        ImageDraw.Draw(image).arc((low, low, high, high), start, start + 110, fill=255, width=width)
    return _shrink(image, side)


def draw_background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A muted, busy picture, uint8 [H, W, 3]: grey to brown, darker than yellow and white, never saturated."""
    texture = sum(_texture(height, width, rng) * weight for weight in (1.0, 0.7))
    texture = texture + rng.normal(0, 0.06, (height, width))
    brown = np.array([0.10, 0.0, -0.13]) * rng.uniform(-0.25, 1)
    tint = (1 + brown) * rng.uniform(55, 105)
    picture = tint + texture[:, :, None] * rng.uniform(12, 28) * (1 + brown)
    return np.clip(picture, 20, 150).astype(np.uint8)


def _texture(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A field [H, W] of values about -1 to 1."""
    rows, columns = np.mgrid[0:height, 0:width]
    turn = rng.uniform(0, np.pi)
    across = (rows * np.sin(turn) + columns * np.cos(turn)) / min(height, width)
    match rng.integers(4):
        case 0:
            return 2 * (across - across.mean())
        case 1:
            return np.sin(2 * np.pi * (across * rng.uniform(3, 9) + rng.uniform()))
        case kind:
            cells = int(rng.integers(5, 13))
            coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
            how = Image.Resampling.NEAREST if kind == 2 else Image.Resampling.BICUBIC
            return np.asarray(coarse.resize((width, height), how))


def draw_distractor(plan: Plan, rng: np.random.Generator) -> Distractor:
    """A dot, a line or a hollow shape: small, grey, and never an event."""
    side = min(plan.width, plan.height)
    radius = rng.uniform(0.025, 0.055) * side
    match rng.integers(3):
        case 0:
            mask = _shape_mask(Shape.CIRCLE, round(radius, 1), 0.0)
        case 1:
            turn = rng.uniform(0, np.pi)
            ends = np.array([np.cos(turn), np.sin(turn)]) * radius * 2
            across = np.array([-np.sin(turn), np.cos(turn)]) * max(0.6, radius * 0.15)
            mask = _polygon_mask(np.array([ends + across, ends - across, -ends - across, -ends + across]), radius * 2)
        case _:
            shape = list(Shape)[rng.integers(len(Shape))]
            mask = _shape_mask(shape, round(radius * 1.4, 1), 0.0).copy()
            hole = _shape_mask(shape, round(radius * 0.9, 1), 0.0)
            inset = (mask.shape[0] - hole.shape[0]) // 2
            mask[inset : inset + hole.shape[0], inset : inset + hole.shape[0]] -= hole
            mask = np.clip(mask, 0, 1)
    grey = rng.uniform(25, 50) if rng.uniform() < 0.5 else rng.uniform(125, 160)
    size = np.array([plan.width, plan.height])
    return Distractor(
        mask=mask,
        rgb=np.full(3, grey, np.float32),
        centre=rng.uniform(0.1, 0.9, 2) * size,
        swing=rng.uniform(0.05, 0.4, 2) * size,
        speed=rng.uniform(0.1, 0.7, 2),
        phase=rng.uniform(0, 2 * np.pi, 2),
    )
