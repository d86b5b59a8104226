"""A network and a recipe small enough to be fitted in seconds."""

from __future__ import annotations

from hyt.training.model import Size
from hyt.training.recipe import Recipe

TINY = Recipe(steps=20, batch=4, warm_up=0.25)
SIZE = Size(
    hidden=32,
    layers=2,
    heads=2,
    kv_heads=1,
    head_dim=16,
    feed_forward=32,
    vision_hidden=32,
    vision_layers=1,
    vision_heads=2,
    vision_feed_forward=32,
    patch=64,
)
