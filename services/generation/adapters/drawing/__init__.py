"""Pictures drawn by this program itself: `paint.draw` is the way in, scenes stand in modules."""
